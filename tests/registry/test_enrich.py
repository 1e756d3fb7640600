from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intelligence.errors import HubError
from intelligence.hubs import CivitAI
from intelligence.hubs.hub_work import HubCancelledError
from intelligence.models import (
    Architecture,
    Family,
    Finding,
    LoRAKind,
    ModelMetadata,
    TriggerSet,
)
from intelligence.registry import ModelRegistry
from intelligence.registry.enrich import enrich, with_hub_facts

from ..hub_server import Answer, Hub, by_hash, json_answer, version_record
from ..model_fixtures import SDXL_LORA

pytest.importorskip("httpx2", reason="the extra hubs is not installed")


@pytest.fixture
def civitai(hub: Hub, waits: list[float]) -> CivitAI:
    return CivitAI(base_url=hub.url, sleep=waits.append)


def sha(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


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


def test_enrich_keeps_answers_when_it_ends_early(registry: ModelRegistry, hub: Hub, civitai: CivitAI) -> None:
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


def test_enriched_facts_survive_a_touched_or_moved_file(
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


def test_enrich_asks_unknown_hashes_again_after_a_month(registry: ModelRegistry, hub: Hub) -> None:
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


def test_with_hub_facts_joins() -> None:
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
def test_with_hub_facts_keeps(own: dict[str, Any], kept: dict[str, Any]) -> None:
    found = with_hub_facts(replace(OWN, **own), FACTS)
    assert {name: getattr(found, name) for name in kept} == kept
