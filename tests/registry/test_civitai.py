"""CivitAI's records and API: by hash, search, details and downloads, against a server that answers as it does."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from intelligence.errors import HubError, InvalidInputError, MissingDependencyError
from intelligence.hubs import CivitAI
from intelligence.hubs.control import HubCancelledError, HubNotFoundError
from intelligence.models import (
    Architecture,
    ExamplePrompt,
    Family,
    Finding,
    LoRAKind,
    ModelKind,
    ModelMetadata,
    TriggerSet,
)
from intelligence.registry import ModelRegistry
from intelligence.registry.enrich import enrich, with_hub_facts

from .conftest import SDXL_LORA
from .hub_server import Answer, Hub, Source, by_hash, json_answer, ready, record, version_record

pytest.importorskip("httpx", reason="the extra hubs is not installed")


@pytest.fixture
def civitai(hub: Hub, waits: list[float]) -> CivitAI:
    return CivitAI(base_url=hub.url, sleep=waits.append)


def sha(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def test_the_record_alone() -> None:
    found = ModelMetadata.from_civitai(record("https://civitai.com", b"x" * 2048))
    assert (found.model_id, found.name, found.kind, found.source) == (
        "lora:fern.safetensors",
        "fern",
        ModelKind.LORA,
        "civitai",
    )
    assert (found.architecture, found.family, found.lora_kind) == (
        Architecture.SDXL,
        Family.ILLUSTRIOUS,
        LoRAKind.CHARACTER,
    )
    assert (found.strength, found.creator, found.license_notes) == (0.7, "someone", "credit required")
    assert found.trigger_sets == (TriggerSet(("fern", "purple hair"), "civitai"),)
    assert (found.size_bytes, found.source_id, found.example_prompts[0].weight) == (2048, "7:71", 0.6)
    older = ModelMetadata.from_civitai(record("", b""), version=70)
    assert (older.name, older.architecture, older.family) == ("old", Architecture.SD1, Family.SD15)


def test_the_versions_of_a_record_in_one() -> None:
    """The newest version and its file come first; another architecture's version adds nothing."""
    data = record("", b"")
    newest, other = data["modelVersions"][0], data["modelVersions"][1]
    before = dict(
        newest,
        id=69,
        trainedWords=["fern, staff", "fern, purple hair"],
        images=[{"meta": {"prompt": "fern with a staff <lora:fern:0.9>"}}],
        files=[dict(newest["files"][1], name="fern_v1.safetensors", hashes={})],
    )
    whole = ModelMetadata.from_civitai(data | {"modelVersions": [newest, other, before]})
    assert (whole.name, whole.sha256) == ("fern", ModelMetadata.from_civitai(data).sha256)
    assert [item.words for item in whole.trigger_sets] == [("fern", "purple hair"), ("fern", "staff")]
    assert whole.example_prompts[-1] == ExamplePrompt("fern with a staff", 0.9, stacked=False, version=69)
    alone = ModelMetadata.from_civitai(data | {"modelVersions": [newest, other, before]}, version=69)
    assert (alone.name, len(alone.example_prompts), alone.source_id) == ("fern_v1", 1, "7:69")


def test_a_record_whose_file_is_a_pickle() -> None:
    data = record("", b"")
    data["modelVersions"][0]["files"][1]["name"] = "fern.pt"
    found = ModelMetadata.from_civitai(data)
    assert found.problem and "fern.pt" in found.problem
    assert (found.name, found.trigger_sets[0].words) == ("Fern", ("fern", "purple hair"))


@pytest.mark.parametrize("data", [None, [], {}, {"type": "LORA"}, {"type": "Wildcards", "modelVersions": [{"id": 1}]}])
def test_records_that_are_none(data: Any) -> None:
    with pytest.raises(HubError):
        ModelMetadata.from_civitai(data)


def test_by_hashes(hub: Hub, civitai: CivitAI) -> None:
    """250 SHA-256 in three requests, each with the hashes and nothing else; the answers in any order."""
    known = {sha(number): version_record(number, sha(number)) for number in range(1, 251, 2)}
    hub.says("/model-versions/by-hash", by_hash(known))
    asked = [sha(number) if number % 3 else sha(number).upper() for number in range(250)]
    seen: list[tuple[int, int | None]] = []
    found = civitai.by_hashes(asked, on_progress=lambda *both: seen.append(both))
    assert set(found) == {text for number, text in enumerate(asked) if number % 2}
    one = found[asked[1]]
    assert (one.title, one.base_model, one.source_id, one.sha256) == ("Model 1", "Pony", "1:1001", sha(1))
    assert (one.model_id, one.trigger_sets[0].words) == ("lora:model1.safetensors", ("word1",))
    assert seen == [(100, 250), (200, 250), (250, 250)]
    assert [len(json.loads(request.body)) for request in hub.requests] == [100, 100, 50]
    sent = [text.lower() for request in hub.requests for text in json.loads(request.body)]
    assert sent == [text.lower() for text in asked]
    for request in hub.requests:
        assert (request.method, request.path) == ("POST", "/model-versions/by-hash")
        assert set(request.headers) <= {
            "host", "accept", "accept-encoding", "connection", "user-agent", "content-type", "content-length",
        }  # fmt: skip
        assert request.headers["user-agent"] == "intelligent-generation"


def test_other_hashes_one_by_one(hub: Hub, civitai: CivitAI) -> None:
    known = version_record(3, sha(3))
    autov2, autov3 = sha(3)[:10], sha(3)[10:22]
    for text in (autov2, autov3):
        hub.says(f"/model-versions/by-hash/{text.upper()}", json_answer(known))
    found = civitai.by_hashes([autov2, autov3, "00000000"])
    assert {text: item.title for text, item in found.items()} == {autov2: "Model 3", autov3: "Model 3"}


@pytest.mark.parametrize("text", ["", "xyz", "../models/1", sha(1) + "0", sha(1)[:11], 5, None])
def test_what_is_no_hash_is_not_sent(hub: Hub, civitai: CivitAI, text: Any) -> None:
    with pytest.raises(InvalidInputError):
        civitai.by_hashes([sha(1), text])
    assert hub.requests == []


@pytest.mark.parametrize(
    "answer, empty",
    [
        (json_answer([]), True),
        (Answer(404), True),
        (json_answer([5, None, {}, {"files": 5}, {"files": [{"hashes": 5}]}]), True),
        (json_answer([version_record(1, sha(1), model={"name": "x", "type": "Wildcards"})]), True),
        (json_answer([version_record(1, sha(1), model=None)]), True),
        (json_answer({"error": "no"}), False),
        (json_answer("text"), False),
        (Answer(body=b"<html>"), False),
        (Answer(body=b"[" * 200_000), False),
        (Answer(body=b'[{"a":' * 100_000), False),
        (Answer(body=b"\xff\xfe\x00"), False),
        (Answer(body=b" " * (32 * 1024 * 1024 + 1)), False),
        (Answer(302, headers={"Location": "/elsewhere"}), False),
        (Answer(400), False),
        (Answer(401), False),
        (Answer(500), False),
        (Answer(body=b"[]", short=5), False),
    ],
)
def test_answers_that_say_nothing(hub: Hub, civitai: CivitAI, answer: Answer, empty: bool) -> None:
    hub.says("/model-versions/by-hash", answer)
    if empty:
        assert civitai.by_hashes([sha(1)]) == {}
    else:
        with pytest.raises(HubError):
            civitai.by_hashes([sha(1)])


def test_search(hub: Hub, civitai: CivitAI) -> None:
    good = record("https://civitai.com", b"x" * 2048)
    pickled = {**good, "modelVersions": [{"id": 1, "files": [{"name": "a.ckpt", "type": "Model"}]}]}
    found = {"items": [good, pickled, {**good, "type": "Wildcards"}, None], "metadata": {"nextCursor": "75|93|2"}}
    hub.says("/models", json_answer(found), json_answer({"items": [], "metadata": {}}))
    page = civitai.search("fern & co", kind=ModelKind.LORA, base_model="SDXL 1.0", limit=5)
    assert ([item.name for item in page.models], page.next_cursor) == (["fern"], "75|93|2")
    assert parse_qs(hub.requests[0].path.partition("?")[2]) == {
        "limit": ["5"],
        "sort": ["Most Downloaded"],
        "query": ["fern & co"],
        "baseModels": ["SDXL 1.0"],
        "types": ["LORA", "LoCon", "DoRA"],
    }
    last = civitai.search(sort="Newest", cursor=page.next_cursor)
    assert (last.models, last.next_cursor) == ((), None)
    asked = parse_qs(hub.requests[1].path.partition("?")[2])
    assert (asked["cursor"], asked["sort"], "query" in asked, "Checkpoint" in asked["types"]) == (
        ["75|93|2"],
        ["Newest"],
        False,
        True,
    )


@pytest.mark.parametrize("wrong", [{"sort": "Best"}, {"limit": 0}, {"limit": 101}, {"limit": True}, {"limit": "5"}])
def test_search_refuses(hub: Hub, civitai: CivitAI, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        civitai.search(**wrong)
    assert hub.requests == []


def test_details(hub: Hub, civitai: CivitAI, lora: bytes) -> None:
    ready(hub, lora)
    assert civitai.details(7).family is Family.ILLUSTRIOUS
    assert civitai.details(7, version=70).name == "old"
    with pytest.raises(HubError, match="no version 5"):
        civitai.details(7, version=5)
    with pytest.raises(HubNotFoundError):
        civitai.details(8)


def test_busy(hub: Hub, civitai: CivitAI, waits: list[float]) -> None:
    answers = Answer(429, headers={"Retry-After": "7"}), Answer(502), Answer(body=b"[", short=9), json_answer([])
    hub.says("/model-versions/by-hash", *answers)
    assert civitai.by_hashes([sha(1)]) == {}
    assert waits == [7, 2, 4]
    waits.clear()
    hub.says("/model-versions/by-hash", Answer(503))
    with pytest.raises(HubError, match="503"):
        civitai.by_hashes([sha(1)])
    assert waits == [1, 2, 4, 8, 16, 30]


def test_download(hub: Hub, other_hub: Hub, lora: bytes, tmp_path: Path) -> None:
    other_hub.says("/signed", Source(lora, '"x"'))
    ready(hub, lora, Answer(307, headers={"Location": f"{other_hub.url}/signed?key=1"}))
    seen: list[tuple[int, int | None]] = []
    civitai = CivitAI(base_url=hub.url, token="secret")
    path = civitai.download(7, tmp_path / "l", on_progress=lambda *both: seen.append(both))
    assert (path, path.read_bytes()) == (tmp_path / "l" / "fern.safetensors", lora)
    assert seen[-1] == (len(lora), len(lora))
    assert hub.asked == [("/models/7", None), ("/download/71", "Bearer secret")]
    assert other_hub.asked == [("/signed", None)]
    assert "secret" not in repr(civitai)


def test_a_record_cannot_send_the_token_elsewhere(hub: Hub, other_hub: Hub, lora: bytes, tmp_path: Path) -> None:
    other_hub.says("/take", Answer(body=lora))
    ready(hub, lora, downloadUrl=f"{other_hub.url}/take")
    CivitAI(base_url=hub.url, token="secret").download(7, tmp_path / "l")
    assert other_hub.asked == [("/take", None)]


@pytest.mark.parametrize(
    "file, reason",
    [
        ({"name": "../../evil.py"}, "never downloaded"),
        ({"name": "x.ckpt"}, "never downloaded"),
        ({"downloadUrl": "ftp://x/y"}, "names no download"),
        ({"downloadUrl": "file:///etc/passwd"}, "names no download"),
        ({"downloadUrl": "http://169.254.169.254/latest"}, "refused"),
    ],
)
def test_records_that_lead_astray(
    hub: Hub, civitai: CivitAI, lora: bytes, tmp_path: Path, file: dict[str, Any], reason: str
) -> None:
    ready(hub, lora, **file)
    with pytest.raises(HubError, match=reason):
        civitai.download(7, tmp_path / "l")
    assert not (tmp_path / "l").exists()
    assert len(hub.requests) == 1


def test_a_name_that_would_climb(hub: Hub, civitai: CivitAI, lora: bytes, tmp_path: Path) -> None:
    ready(hub, lora, name="../../x.safetensors")
    assert civitai.download(7, tmp_path / "a" / "b") == tmp_path / "a" / "b" / "x.safetensors"


def test_an_account_is_needed(hub: Hub, civitai: CivitAI, lora: bytes, tmp_path: Path) -> None:
    denied = Answer(401, b'{"error":"Unauthorized"}', {"Content-Type": "application/json"})
    ready(hub, lora, denied)
    with pytest.raises(HubError, match="pass token="):
        civitai.download(7, tmp_path / "l")


def test_offline_opens_no_socket(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", opened)
    monkeypatch.setattr(socket, "getaddrinfo", opened)
    civitai = CivitAI(base_url=hub.url, offline=True)
    calls: list[Callable[[], Any]] = [
        lambda: civitai.by_hashes([sha(1)]),
        lambda: civitai.search("x"),
        lambda: civitai.details(7),
        lambda: civitai.download(7, tmp_path),
    ]
    for call in calls:
        with pytest.raises(HubError, match="offline"):
            call()


@pytest.mark.parametrize("wrong", [{"base_url": "ftp://x"}, {"base_url": ""}, {"token": "a\nb"}])
def test_what_no_client_is_made_of(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        CivitAI(**wrong)


@pytest.mark.parametrize("missing", ["httpx", "filelock"])
def test_without_the_extra(
    hub: Hub, civitai: CivitAI, lora: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    ready(hub, lora)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependencyError, match=r"\[hubs\]"):
        civitai.download(7, tmp_path / "l")


def stored(registry: ModelRegistry, number: int, **fields: Any) -> ModelMetadata:
    return registry.register_model(
        ModelMetadata(f"lora:{number}.safetensors", str(number), **{"sha256": sha(number), **fields})
    )


def test_enrich(registry: ModelRegistry, hub: Hub, civitai: CivitAI) -> None:
    known = {sha(number): version_record(number, sha(number)) for number in (1, 2, 3, 9)}
    hub.says("/model-versions/by-hash", by_hash(known))
    hub.says(f"/model-versions/by-hash/{sha(9)[10:22].upper()}", json_answer(known[sha(9)]))
    stored(registry, 1, description="mine")
    stored(registry, 2, source_id="2:1002")
    stored(registry, 4)
    stored(registry, 5, sha256=None)
    stored(registry, 6, problem="broken")
    stored(registry, 8, sha256=sha(1))
    stored(registry, 9, sha256=None, autov3=sha(9)[10:22])
    seen: list[tuple[int, int | None]] = []
    report = enrich(registry, civitai, lambda *both: seen.append(both))
    assert (report.asked, sorted(report.updated)) == (
        3,
        ["lora:1.safetensors", "lora:8.safetensors", "lora:9.safetensors"],
    )
    assert seen == [(2, 3), (3, 3)]
    one = registry.get_model("1")
    assert (one.description, one.title, one.base_model, one.source_id) == ("mine", "Model 1", "Pony", "1:1001")
    assert (one.family, one.name, one.model_id, one.source) == (Family.PONY, "1", "lora:1.safetensors", "local")
    assert one.trigger_sets == (TriggerSet(("word1",), "civitai"),)
    assert registry.get_model("9").sha256 is None
    sent = [json.loads(request.body) if request.body else request.path for request in hub.requests]
    assert sent == [[sha(1).upper(), sha(4).upper()], f"/model-versions/by-hash/{sha(9)[10:22].upper()}"]
    assert enrich(registry, civitai).asked == 0


def test_enrich_keeps_what_it_has_when_it_ends_early(registry: ModelRegistry, hub: Hub, civitai: CivitAI) -> None:
    known = {sha(number): version_record(number, sha(number)) for number in range(150)}
    hub.says("/model-versions/by-hash", by_hash(known), Answer(400))
    for number in range(150):
        stored(registry, number)
    with pytest.raises(HubError, match="400"):
        enrich(registry, civitai)
    assert sum(model.source_id is not None for model in registry.list_models()) == 100
    with pytest.raises(HubCancelledError):
        enrich(registry, civitai, cancelled=lambda: True)
    with pytest.raises(HubError, match="offline"):
        enrich(registry, CivitAI(offline=True))
    assert sum(model.source_id is not None for model in registry.list_models()) == 100


def test_what_a_hub_said_stays_when_the_file_is_touched_or_moved(
    registry: ModelRegistry, hub: Hub, civitai: CivitAI, model: Callable[..., Path], tmp_path: Path
) -> None:
    root = tmp_path / "loras"
    path = model(root / "a.safetensors")
    registry.scan([root])
    registry.hash_models()
    text = registry.get_model("a").sha256
    assert text
    hub.says("/model-versions/by-hash", by_hash({text: version_record(1, text)}))
    assert enrich(registry, civitai).updated == ("lora:a.safetensors",)
    os.utime(path, ns=(1, 1))
    registry.scan([root])
    touched = registry.get_model("a")
    assert (touched.title, touched.base_model, touched.source_id, touched.source) == (
        "Model 1",
        "Pony",
        "1:1001",
        "local",
    )
    path.rename(root / "b.safetensors")
    registry.scan([root])
    moved = registry.get_model("b")
    assert (moved.title, moved.source, moved.previous_ids) == ("Model 1", "local", ("lora:a.safetensors",))
    model(root / "b.safetensors", {**SDXL_LORA, "lora_unet_input_blocks_4_1.alpha": ()})
    registry.scan([root])
    assert registry.get_model("b").title == "", "another file under that name"
    assert registry.cleanup_cache().removed == ()


def test_what_a_hub_does_not_know_is_not_asked_again_for_a_month(registry: ModelRegistry, hub: Hub) -> None:
    clock = [1e9]
    civitai = CivitAI(base_url=hub.url, now=lambda: clock[0])
    hub.says("/model-versions/by-hash", by_hash({}))
    stored(registry, 1)
    assert [enrich(registry, civitai).asked for _ in range(2)] == [1, 0]
    clock[0] += 31 * 86_400
    assert enrich(registry, civitai).asked == 1


FACTS = ModelMetadata(
    "lora:x.safetensors",
    "x",
    source="civitai",
    source_id="1:2",
    base_model="Pony",
    family=Family.PONY,
    lora_kind=LoRAKind.STYLE,
    architecture=Architecture.SDXL,
    tags={"style": 1},
    sha256="f" * 64,
    findings={
        "base_model": Finding("Pony", "civitai", 0.95),
        "family": Finding("pony", "civitai", 0.9),
        "lora_kind": Finding("style", "tag", 0.8),
    },
)
OWN = ModelMetadata(
    "lora:a.safetensors",
    "a",
    local_path="/a",
    architecture=Architecture.SDXL,
    family=Family.SDXL,
    base_model="sdxl_base",
    tags={"1girl": 90},
    rank=8,
    findings={
        "base_model": Finding("sdxl_base", "header", 0.3),
        "family": Finding("sdxl", "header", 0.3),
        "architecture": Finding("sdxl", "shapes", 1.0),
    },
)


def test_facts_and_the_files_own_words() -> None:
    found = with_hub_facts(OWN, FACTS)
    assert (found.base_model, found.family, found.lora_kind) == ("Pony", Family.PONY, LoRAKind.STYLE)
    assert (found.name, found.local_path, found.rank, found.sha256, found.source) == ("a", "/a", 8, None, "local")
    assert found.tags == {"1girl": 90, "style": 1}
    assert found.findings["architecture"] == OWN.findings["architecture"]
    assert found.findings["family"] == FACTS.findings["family"]


@pytest.mark.parametrize(
    "own, kept",
    [
        ({"family": Family.NOOBAI}, {"family": Family.NOOBAI}),
        ({"base_model": "Illustrious"}, {"base_model": "Illustrious"}),
        ({"findings": {}}, {"base_model": "sdxl_base", "family": Family.SDXL}),
        ({"lora_kind": LoRAKind.CHARACTER}, {"lora_kind": LoRAKind.CHARACTER}),
        ({"architecture": Architecture.SD1}, {"architecture": Architecture.SD1, "family": Family.SDXL}),
        ({"findings": {"family": Finding("sdxl", "sampling", 0.99)}}, {"family": Family.SDXL}),
    ],
    ids=["family by hand", "base by hand", "all by hand", "kind by hand", "another architecture", "surer"],
)
def test_what_stays_as_it_was(own: dict[str, Any], kept: dict[str, Any]) -> None:
    found = with_hub_facts(replace(OWN, **own), FACTS)
    assert {name: getattr(found, name) for name in kept} == kept


@pytest.mark.parametrize(
    "meta, weight, stacked",
    [
        ({"prompt": "fern <lora:fern:0.6>"}, 0.6, False),
        ({"prompt": "fern <lora:Renamed:0.6>"}, 0.6, False),
        ({"prompt": "fern <lora:add_detail:0.3> <lora:sub/FERN:0.6:0.2>"}, 0.6, True),
        ({"prompt": "fern <lora:one:0.3> <lora:two:0.6>"}, None, True),
        ({"prompt": "fern"}, None, None),
        ({"prompt": "fern", "resources": [{"type": "lora", "name": "fern", "weight": 0.4}]}, 0.4, False),
        (
            {"prompt": "fern <lora:fern:0.5>", "resources": [{"type": "lora", "name": "fern", "weight": 0.5}]},
            0.5,
            False,
        ),
        (
            {"prompt": "fern", "resources": [{"type": "model", "name": "base"}, {"type": "lora", "hash": "AABB"}]},
            None,
            0,
        ),
        ({"prompt": "fern", "civitaiResources": [{"type": "lora", "modelVersionId": 71, "weight": 0.9}]}, 0.9, False),
        ({"prompt": "fern", "civitaiResources": [{"type": "lora", "modelVersionId": 5, "weight": 0.9}]}, None, False),
        ({"prompt": "fern", "civitaiResources": [{"type": "lora", "modelVersionId": [5], "weight": "x"}]}, None, False),
    ],
)
def test_how_strongly_an_example_uses_it(meta, weight, stacked) -> None:
    data = record("", b"")
    data["modelVersions"][0]["images"] = [{"meta": meta}]
    (example,) = ModelMetadata.from_civitai(data, version=71).example_prompts
    assert example == ExamplePrompt("fern", weight, stacked if stacked is None else bool(stacked), 71)
