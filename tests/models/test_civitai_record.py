from __future__ import annotations

import hashlib
from typing import Any

import pytest

from intelligence.errors import HubError
from intelligence.models import (
    Architecture,
    ExamplePrompt,
    Family,
    LoRAKind,
    ModelKind,
    ModelMetadata,
    TriggerSet,
)

from ..hub_server import record

pytest.importorskip("httpx2", reason="the extra hubs is not installed")


def sha(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def test_from_civitai_of_one_version() -> None:
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


def test_from_civitai_joins_versions() -> None:
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


def test_from_civitai_names_a_pickle_as_problem() -> None:
    data = record("", b"")
    data["modelVersions"][0]["files"][1]["name"] = "fern.pt"
    found = ModelMetadata.from_civitai(data)
    assert found.problem and "fern.pt" in found.problem
    assert (found.name, found.trigger_sets[0].words) == ("Fern", ("fern", "purple hair"))


@pytest.mark.parametrize("data", [None, [], {}, {"type": "LORA"}, {"type": "Wildcards", "modelVersions": [{"id": 1}]}])
def test_from_civitai_refuses(data: Any) -> None:
    with pytest.raises(HubError):
        ModelMetadata.from_civitai(data)


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
def test_example_prompt_weights(meta, weight, stacked) -> None:
    data = record("", b"")
    data["modelVersions"][0]["images"] = [{"meta": meta}]
    (example,) = ModelMetadata.from_civitai(data, version=71).example_prompts
    assert example == ExamplePrompt("fern", weight, stacked if stacked is None else bool(stacked), 71)
