from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intelligence.models import ExamplePrompt, ModelMetadata
from intelligence.models.sanitize import MAX_JSON_BYTES
from intelligence.registry.sidecars import JSON_FORMATS, find_sidecars, read_sidecars

SHA = "ab" * 32

VERSION = {
    "id": 22,
    "modelId": 11,
    "baseModel": "Illustrious",
    "trainedWords": ["fern \\(frieren\\), purple hair", "<lora:x:1> coat"],
    "description": "<p>Use weight 0.6 - 0.8</p><script>x</script>",
    "model": {"name": "Fern", "tags": ["character", "anime"]},
    "files": [{"name": "fern.safetensors", "hashes": {"SHA256": SHA.upper(), "AutoV2": "AABB", "AutoV3": "CCDD"}}],
    "images": [{"meta": {"prompt": "fern, <lora:fern:0.7>, coat"}}, {"meta": None}, "junk"],
    "creator": {"username": "someone"},
}

FORMATS: dict[str, tuple[Any, dict[str, Any]]] = {
    ".civitai.info": (
        VERSION,
        {
            "title": "Fern",
            "source_id": "11:22",
            "base_model": "Illustrious",
            "strength": 0.7,
            "strength_range": (0.6, 0.8),
            "sha256": SHA,
            "autov2": "aabb",
            "autov3": "ccdd",
            "creator": "someone",
            "tags": {"character": 1, "anime": 1},
            "example_prompts": (ExamplePrompt("fern, coat", 0.7, stacked=False, version=22),),
        },
    ),
    ".metadata.json": (
        {
            "model_name": "Fern LM",
            "base_model": "Pony",
            "sha256": SHA,
            "tags": ["style"],
            "notes": "mine",
            "usage_tips": '{"strength": 0.9, "strength_min": 0.5, "strength_max": 1.1}',
            "civitai": VERSION,
        },
        {
            "title": "Fern LM",
            "base_model": "Illustrious",
            "strength": 0.9,
            "strength_range": (0.5, 1.1),
            "tags": {"style": 1, "character": 1, "anime": 1},
        },
    ),
    ".cm-info.json": (
        {
            "ModelId": 11,
            "VersionId": 22,
            "ModelName": "Fern SM",
            "ModelDescription": "<b>bold</b> &amp; more",
            "Tags": ["character"],
            "BaseModel": "NoobAI",
            "TrainedWords": ["fern"],
            "Hashes": {"SHA256": SHA, "AutoV2": "AABB"},
        },
        {
            "title": "Fern SM",
            "source_id": "11:22",
            "base_model": "NoobAI",
            "description": "bold & more",
            "autov2": "aabb",
        },
    ),
    ".rgthree-info.json": (
        {
            "name": "Fern RG",
            "baseModel": "SDXL 1.0",
            "trainedWords": [{"word": "fern", "civitai": True}, {"word": "1girl", "count": 3}],
            "strengthMin": 0.4,
            "strengthMax": 0.8,
            "images": [{"positive": "fern <lora:fern:0.5>"}],
            "userNote": "nice",
        },
        {
            "title": "Fern RG",
            "strength": 0.6,
            "strength_range": (0.4, 0.8),
            "description": "nice",
            "example_prompts": (ExamplePrompt("fern", 0.5),),
        },
    ),
    ".json": (
        {"activation text": "fern, coat", "preferred weight": 0.75, "sd version": "SDXL", "notes": "mine"},
        {"strength": 0.75, "base_model": "SDXL", "description": "mine"},
    ),
}


def read(folder: Path, **contents: Any) -> tuple[ModelMetadata, list[str]]:
    paths = {}
    for suffix, content in contents.items():
        paths[suffix] = folder / f"x{suffix}"
        paths[suffix].write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return read_sidecars(paths)


@pytest.mark.parametrize("suffix", FORMATS)
def test_read_sidecars_of_every_format(tmp_path: Path, suffix: str) -> None:
    content, expected = FORMATS[suffix]
    found, problems = read(tmp_path, **{suffix: content})
    assert problems == []
    assert {name: getattr(found, name) for name in expected} == expected


def test_read_sidecars_trigger_sets(tmp_path: Path) -> None:
    found, _ = read(tmp_path, **{".civitai.info": VERSION, ".json": {"activation text": "Coat"}})
    assert [(item.words, item.source) for item in found.trigger_sets] == [
        (("Coat",), "user notes (.json)"),
        (("fern (frieren)", "purple hair"), "civitai (.civitai.info)"),
    ]


def test_read_sidecars_order_of_sources(tmp_path: Path) -> None:
    contents = {suffix: content for suffix, (content, _) in FORMATS.items()}
    found, problems = read(tmp_path, **contents, **{".txt": b"use strength 0.3", ".sha256": f"{SHA}  x\n".encode()})
    assert problems == []
    assert (found.strength, found.base_model, found.sha256) == (0.75, "Illustrious", SHA)


def test_read_sidecars_text_hash_and_preview(tmp_path: Path) -> None:
    found, _ = read(tmp_path, **{".txt": b"strength: 0.4", ".sha256": SHA.encode(), ".preview.png": b"png"})
    assert (found.description, found.strength, found.sha256) == ("strength: 0.4", 0.4, SHA)
    assert found.preview_path == str(tmp_path / "x.preview.png")


def test_find_sidecars() -> None:
    names = ["x.safetensors", "x.json", "x.safetensors.rgthree-info.json", "x.svg", "x.html", "x.png", "xy.txt"]
    assert find_sidecars(["x.safetensors"], names)["x.safetensors"] == {
        ".json": "x.json",
        ".rgthree-info.json": "x.safetensors.rgthree-info.json",
        ".png": "x.png",
    }


BAD = {
    "not json": (b"{oops", "not JSON"),
    "deep": (b'{"a":' * 200_000, "nested too deeply"),
    "list": (b"[1]", "not a JSON object"),
    "large": (b" " * (MAX_JSON_BYTES + 1), "larger than 4 MB"),
    "utf-16": ('{"a": 1}'.encode("utf-16")[:7], "not JSON"),
    "huge number": (b'{"a": 1' + b"0" * 5000 + b"}", "not JSON"),
}


@pytest.mark.parametrize("suffix", JSON_FORMATS)
@pytest.mark.parametrize("content, reason", BAD.values(), ids=BAD)
def test_read_sidecars_skips_a_bad_one_with_a_reason(tmp_path: Path, suffix: str, content: bytes, reason: str) -> None:
    found, problems = read(tmp_path, **{suffix: content, ".txt": b"still read"})
    assert found.description == "still read"
    assert len(problems) == 1
    assert reason in problems[0]


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([2**70, -(2**70), float("nan"), float("inf"), 10**400, "\ud800", "a\0b", "0.8", "<b>x", "1e999"])
    | st.floats()
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KEYS = sorted(
    {key for content, _ in FORMATS.values() for key in content}
    | {"meta", "prompt", "word", "strength", "tags", "hashes", "files", "settings", "allowCommercialUse"}
)


@pytest.mark.parametrize("suffix", JSON_FORMATS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.dictionaries(st.sampled_from(KEYS), ODD | st.dictionaries(st.sampled_from(KEYS), ODD, max_size=4)))
def test_json_formats_of_any_content(suffix: str, data: dict[str, Any]) -> None:
    found = JSON_FORMATS[suffix](json.loads(json.dumps(data)))
    stored = found.to_json()
    assert stored.encode("utf-8").decode() == stored
    assert ModelMetadata.from_json(stored) == found
