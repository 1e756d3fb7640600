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
            "base_model": "Pony",
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
            "example_prompts": (ExamplePrompt("fern", 0.5, stacked=False),),
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
    return read_sidecars("x.safetensors", paths)


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
    assert (found.strength, found.base_model, found.sha256) == (0.75, "Pony", SHA)


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
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=40)
@given(data=st.dictionaries(st.sampled_from(KEYS), ODD | st.dictionaries(st.sampled_from(KEYS), ODD, max_size=4)))
def test_json_formats_of_any_content(suffix: str, data: dict[str, Any]) -> None:
    found = JSON_FORMATS[suffix](json.loads(json.dumps(data)), "x.safetensors")
    stored = found.to_json()
    assert stored.encode("utf-8").decode() == stored
    assert ModelMetadata.from_json(stored) == found


WORDS = ("fern", "purple hair", "coat")
SHARED = {
    "a1111": (".json", {"activation text": "fern, purple hair, coat", "preferred weight": "0.8", "modelId": 11}),
    "civitai helper": (".civitai.info", {**VERSION, "trainedWords": "fern, purple hair, coat", "extensions": {}}),
    "browser": (
        ".api_info.json",
        {
            "id": 11,
            "name": "Fern",
            "tags": ["character"],
            "modelVersions": [
                {"id": 23, "trainedWords": ["other"], "files": [{"name": "y.safetensors"}]},
                {"id": 22, "trainedWords": ["fern, purple hair, coat"], "files": [{"name": "X.safetensors"}]},
            ],
        },
    ),
    "api record in json": (
        ".json",
        {"id": 11, "modelVersions": [{"id": 22, "trainedWords": ["fern, purple hair, coat"]}]},
    ),
    "version in json": (".json", {"modelId": 11, "id": 22, "trainedWords": ["fern, purple hair, coat"]}),
    "lora manager, by hand": (
        ".metadata.json",
        {"trainedWords": ["fern, purple hair, coat"], "civitai": {"modelId": 11, "trainedWords": ["hub"]}},
    ),
    "rgthree": (
        ".rgthree-info.json",
        {
            "trainedWords": [{"word": "fern", "civitai": True}, {"word": "purple hair", "civitai": True}],
            "raw": {"civitai": {"modelId": 11, "id": 22, "trainedWords": ["fern, purple hair, coat"]}},
        },
    ),
    "stability matrix": (
        ".cm-info.json",
        {"ModelId": 11, "VersionId": 22, "TrainedWords": ["fern, purple hair, coat"]},
    ),
    "civicomfy": (".cminfo.json", {"ModelId": 11, "CreatorUsername": "c", "TrainedWords": ["fern, purple hair, coat"]}),
    "swarm": (".swarm.json", {"modelspec.trigger_phrase": "fern; purple hair; coat"}),
    "swarm without prefix": (".swarm.json", {"trigger_phrase": "fern;purple hair;coat", "tags": ["character"]}),
    "text": (".txt", b"A witch.\nTrigger words: fern, purple hair, coat\nStrength 0.8"),
    "words alone": (".txt", b"fern, purple hair, coat"),
    "below a heading": (".txt", b"Trigger words:\nfern, purple hair, coat\n\nBest with tea."),
    "a list below a heading": (".txt", "Trigger words:\n· fern, purple hair, coat\nStrength: 0.6-0.8\nCFG: 5".encode()),
    "trigger file": (".trigger.txt", b"fern, purple hair, coat"),
}


@pytest.mark.parametrize("suffix, content", SHARED.values(), ids=SHARED)
def test_read_sidecars_trigger_words_of_every_manager(tmp_path: Path, suffix: str, content: Any) -> None:
    found, problems = read(tmp_path, **{suffix: content})
    assert problems == []
    assert found.trigger_sets[0].words == WORDS
    if "11" in json.dumps(content, default=str):
        assert (found.source_id or "").partition(":")[0] == "11"


def test_read_sidecars_user_settings_of_lora_manager(tmp_path: Path) -> None:
    picture = {"meta": {"prompt": "my own picture"}, "id": "abc"}
    content = {
        "base_model": "Illustrious",
        "civitai": {"baseModel": "SDXL 1.0", "customImages": [picture], "images": [{"meta": {"prompt": "theirs"}}]},
        "usage_tips": json.dumps({"strength_range": "0.5-0.9", "strength": 0.8, "clip_strength": 0.4}),
        "exclude": True,
        "favorite": True,
    }
    found, _ = read(tmp_path, **{".metadata.json": content})
    assert (found.base_model, found.strength, found.strength_range) == ("Illustrious", 0.8, (0.5, 0.9))
    assert (found.strength_clip, found.excluded, found.favourite) == (0.4, True, True)
    assert [example.prompt for example in found.example_prompts] == ["my own picture", "theirs"]


def test_read_sidecars_of_swarm(tmp_path: Path) -> None:
    content = {
        "modelspec.title": "Fern",
        "modelspec.author": "a",
        "modelspec.tags": ["character"],
        "modelspec.lora_default_weight": "0.7",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
    }
    found, _ = read(tmp_path, **{".swarm.json": content})
    assert (found.title, found.creator, found.strength, found.tags) == ("Fern", "a", 0.7, {"character": 1})
    assert found.base_model == "stable-diffusion-xl-v1-base"


NOTE = "トリガーワード: 魔女, ローブ"
TEXTS = {
    "utf-8": (NOTE, "utf-8"),
    "utf-8 with mark": (NOTE, "utf-8-sig"),
    "utf-16": (NOTE, "utf-16"),
    "utf-16 without mark": ("Trigger words: fern, coat", "utf-16-le"),
    "utf-32": (NOTE, "utf-32"),
    "shift-jis": (NOTE, "cp932"),
    "gb 18030": ("触发词：女巫，长袍", "gb18030"),
    "windows-1251": ("Trigger words: ведьма, плащ", "cp1251"),
    "windows-1252": ("Trigger words: sorcière, épée", "cp1252"),
}


@pytest.mark.parametrize("text, encoding", TEXTS.values(), ids=TEXTS)
def test_read_sidecars_text_of_any_encoding(tmp_path: Path, text: str, encoding: str) -> None:
    found, problems = read(tmp_path, **{".txt": text.encode(encoding)})
    assert (problems, found.description) == ([], text)
    assert [" ".join(item.words) for item in found.trigger_sets] == [
        " ".join(part.strip() for part in text.replace("：", ":").partition(":")[2].replace("，", ",").split(","))
    ]


def test_read_sidecars_list_of_trigger_sets(tmp_path: Path) -> None:
    text = "Trigger words:\n· fern\n◦ Outfit 2: 1girl, coat\n– *purple hair*\nRecommended weight: 0,6\nuse with care"
    found, _ = read(tmp_path, **{".txt": text.encode()})
    assert [item.words for item in found.trigger_sets] == [("fern",), ("Outfit 2: 1girl", "coat"), ("purple hair",)]
    assert found.strength == 0.6


@pytest.mark.parametrize("text", ["A LoRA of a witch, trained on 30 pictures.", "use strength 0.3", "witch with a hat"])
def test_read_sidecars_takes_no_sentence_for_trigger_words(tmp_path: Path, text: str) -> None:
    found, _ = read(tmp_path, **{".txt": text.encode()})
    assert found.trigger_sets == ()


def test_find_sidecars_in_any_case_and_unicode_form() -> None:
    names = ["Cafe\u0301.safetensors", "CAF\u00c9.CIVITAI.INFO", "caf\u00e9.PREVIEW.PNG", "X.sft", "x.SFT.Json"]
    found = find_sidecars([names[0], "X.sft"], names)
    assert found[names[0]] == {".civitai.info": names[1], ".preview.png": names[2]}
    assert found["X.sft"] == {".json": "x.SFT.Json"}


def test_find_sidecars_prefers_the_name_without_extension_then_the_same_spelling() -> None:
    names = ["x.safetensors", "X.json", "x.json", "x.safetensors.json", "X.safetensors.TXT"]
    assert find_sidecars(["x.safetensors"], names)["x.safetensors"] == {".json": "x.json", ".txt": "X.safetensors.TXT"}


def test_read_sidecars_prefers_a_picture_to_a_video(tmp_path: Path) -> None:
    found, _ = read(tmp_path, **{".mp4": b"", ".preview.mp4": b"", ".webp": b""})
    assert found.preview_path == str(tmp_path / "x.webp")
    found, _ = read(tmp_path, **{".gif": b"", ".avif": b"", ".preview.mp4": b""})
    assert found.preview_path == str(tmp_path / "x.preview.mp4")
