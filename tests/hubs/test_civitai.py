"""CivitAI's records and API: by hash, search, details and downloads, against a server that answers as it does."""

from __future__ import annotations

import hashlib
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from intelligence.errors import HubError, InvalidInputError, MissingDependencyError
from intelligence.hubs import CivitAI
from intelligence.hubs.hub_work import HubNotFoundError
from intelligence.models import Family, ModelKind, ModelMetadata

from ..hub_server import Answer, Hub, Source, by_hash, json_answer, ready, record, version_record

pytest.importorskip("httpx2", reason="the extra hubs is not installed")


@pytest.fixture
def civitai(hub: Hub, waits: list[float]) -> CivitAI:
    return CivitAI(base_url=hub.url, sleep=waits.append)


def sha(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def by_hashes_of(civitai: CivitAI, hashes: list[Any], **options: Any) -> dict[str, ModelMetadata]:
    """Hash → facts of those that the hub knows."""
    answers = civitai.each_by_hashes(hashes, **options)
    return {text: facts for answer in answers for text, facts in answer.items() if facts is not None}


def test_by_hashes(hub: Hub, civitai: CivitAI) -> None:
    """250 SHA-256 in three requests, each with the hashes and nothing else; the answers in any order."""
    known = {sha(number): version_record(number, sha(number)) for number in range(1, 251, 2)}
    hub.says("/model-versions/by-hash", by_hash(known))
    asked = [sha(number) if number % 3 else sha(number).upper() for number in range(250)]
    seen: list[tuple[int, int | None]] = []
    found = by_hashes_of(civitai, asked, on_progress=lambda *both: seen.append(both))
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


def test_by_hashes_asks_other_hashes_one_by_one(hub: Hub, civitai: CivitAI) -> None:
    known = version_record(3, sha(3))
    autov2, autov3 = sha(3)[:10], sha(3)[10:22]
    for text in (autov2, autov3):
        hub.says(f"/model-versions/by-hash/{text.upper()}", json_answer(known))
    found = by_hashes_of(civitai, [autov2, autov3, "00000000"])
    assert {text: item.title for text, item in found.items()} == {autov2: "Model 3", autov3: "Model 3"}


@pytest.mark.parametrize("text", ["", "xyz", "../models/1", sha(1) + "0", sha(1)[:11], 5, None])
def test_by_hashes_refuses(hub: Hub, civitai: CivitAI, text: Any) -> None:
    with pytest.raises(InvalidInputError):
        by_hashes_of(civitai, [sha(1), text])
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
def test_by_hashes_of_useless_answers(hub: Hub, civitai: CivitAI, answer: Answer, empty: bool) -> None:
    hub.says("/model-versions/by-hash", answer)
    if empty:
        assert by_hashes_of(civitai, [sha(1)]) == {}
    else:
        with pytest.raises(HubError):
            by_hashes_of(civitai, [sha(1)])


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


def test_version_model(hub: Hub, civitai: CivitAI) -> None:
    hub.says("/model-versions/71", json_answer({"id": 71, "modelId": 7}))
    hub.says("/model-versions/72", json_answer({"id": 72}))
    assert civitai.version_model(71) == 7
    with pytest.raises(HubError, match="names no model"):
        civitai.version_model(72)


def test_fetch_gives_facts_of_the_version(hub: Hub, civitai: CivitAI, lora: bytes, tmp_path: Path) -> None:
    ready(hub, lora)
    assert civitai.fetch(7, tmp_path).facts.family is Family.ILLUSTRIOUS
    with pytest.raises(HubError, match="no version 5"):
        civitai.fetch(7, tmp_path, version=5)
    with pytest.raises(HubNotFoundError):
        civitai.fetch(8, tmp_path)


def test_busy(hub: Hub, civitai: CivitAI, waits: list[float]) -> None:
    answers = Answer(429, headers={"Retry-After": "7"}), Answer(502), Answer(body=b"[", short=9), json_answer([])
    hub.says("/model-versions/by-hash", *answers)
    assert by_hashes_of(civitai, [sha(1)]) == {}
    assert waits == [7, 2, 4]
    waits.clear()
    hub.says("/model-versions/by-hash", Answer(503))
    with pytest.raises(HubError, match="503"):
        by_hashes_of(civitai, [sha(1)])
    assert waits == [1, 2, 4, 8, 16, 30]


def test_download(hub: Hub, other_hub: Hub, lora: bytes, tmp_path: Path) -> None:
    other_hub.says("/signed", Source(lora, '"x"'))
    ready(hub, lora, Answer(307, headers={"Location": f"{other_hub.url}/signed?key=1"}))
    seen: list[tuple[int, int | None]] = []
    civitai = CivitAI(base_url=hub.url, token="secret")
    path = civitai.fetch(7, tmp_path / "l", on_progress=lambda *both: seen.append(both)).path
    assert (path, path.read_bytes()) == (tmp_path / "l" / "fern.safetensors", lora)
    assert seen[-1] == (len(lora), len(lora))
    assert hub.asked == [("/models/7", None), ("/download/71", "Bearer secret")]
    assert other_hub.asked == [("/signed", None)]
    assert "secret" not in repr(civitai)


def test_download_never_sends_the_token_elsewhere(hub: Hub, other_hub: Hub, lora: bytes, tmp_path: Path) -> None:
    other_hub.says("/take", Answer(body=lora))
    ready(hub, lora, downloadUrl=f"{other_hub.url}/take")
    CivitAI(base_url=hub.url, token="secret").fetch(7, tmp_path / "l")
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
def test_download_refuses_records(
    hub: Hub, civitai: CivitAI, lora: bytes, tmp_path: Path, file: dict[str, Any], reason: str
) -> None:
    ready(hub, lora, **file)
    with pytest.raises(HubError, match=reason):
        civitai.fetch(7, tmp_path / "l")
    assert not (tmp_path / "l").exists()
    assert len(hub.requests) == 1


def test_download_makes_names_safe(hub: Hub, civitai: CivitAI, lora: bytes, tmp_path: Path) -> None:
    ready(hub, lora, name="../../x.safetensors")
    assert civitai.fetch(7, tmp_path / "a" / "b").path == tmp_path / "a" / "b" / "x.safetensors"


def test_download_without_a_needed_account(hub: Hub, civitai: CivitAI, lora: bytes, tmp_path: Path) -> None:
    denied = Answer(401, b'{"error":"Unauthorized"}', {"Content-Type": "application/json"})
    ready(hub, lora, denied)
    with pytest.raises(HubError, match="pass token="):
        civitai.fetch(7, tmp_path / "l")


def test_offline_opens_no_socket(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", opened)
    monkeypatch.setattr(socket, "getaddrinfo", opened)
    civitai = CivitAI(base_url=hub.url, offline=True)
    calls: list[Callable[[], Any]] = [
        lambda: by_hashes_of(civitai, [sha(1)]),
        lambda: civitai.search("x"),
        lambda: civitai.fetch(7, tmp_path),
    ]
    for call in calls:
        with pytest.raises(HubError, match="offline"):
            call()


@pytest.mark.parametrize("wrong", [{"base_url": "ftp://x"}, {"base_url": ""}, {"token": "a\nb"}])
def test_civitai_refuses_arguments(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        CivitAI(**wrong)


@pytest.mark.parametrize("missing", ["httpx2", "filelock"])
def test_without_the_extra(
    hub: Hub, civitai: CivitAI, lora: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    ready(hub, lora)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependencyError, match=r"\[hubs\]"):
        civitai.fetch(7, tmp_path / "l")
