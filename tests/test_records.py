"""Records as JSON: there and back, and what is refused."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from intelligence import (
    BatchConfig,
    GenerationConstraints,
    InvalidInputError,
    LoRAPreferences,
    LoRARecommendation,
    MemorySettings,
    ModelMetadata,
    OllamaConfig,
    OperationMode,
    OptimizedParameters,
    PipelineConfig,
    PromptAnalysis,
    Reason,
    Recommendations,
)
from intelligence.prompt import ConceptCategory, Segment
from intelligence.records import json_parts
from intelligence.validation import checked


@pytest.mark.parametrize(
    "record",
    [
        PipelineConfig(mode=OperationMode.MANUAL, ollama_config=OllamaConfig()),
        BatchConfig(base_seed=2**64 - 1),
        ModelMetadata("lora:ü.safetensors", "ü", tags={"a": 1}, strength_range=(0.5, 1.0)),
        Recommendations(
            PromptAnalysis(
                "p\ud7ff", segments=(Segment("p", 1.1, (0, 1)),), concepts={ConceptCategory.STYLE: ("anime",)}
            ),
            [],
            OptimizedParameters(20, 7.0, 1024, 1024, "euler", "normal"),
            reasons=(Reason("a", "b", 0.5, "c"),),
        ),
    ],
)
def test_record_survives_json(record: object) -> None:
    text = record.to_json()  # type: ignore[attr-defined]
    assert type(record).from_json(text) == record  # type: ignore[attr-defined]
    assert json.loads(text)["schema"] == 1
    assert json.loads(text)["type"] == type(record).__name__


def test_from_dict_ignores_fields_of_newer_versions() -> None:
    data = {**PromptAnalysis("p").to_dict(), "added_later": 1}
    assert PromptAnalysis.from_dict(data) == PromptAnalysis("p")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("text", "expected a JSON object"),
        ({"type": "ModelMetadata"}, "ModelMetadata"),
        ({**PromptAnalysis("p").to_dict(), "schema": 2}, "newer"),
        ({**PromptAnalysis("p").to_dict(), "tag_style": "much"}, "tag_style"),
        ({**PromptAnalysis("p").to_dict(), "tag_style": float("nan")}, "tag_style"),
        ({}, "prompt"),
    ],
)
def test_from_dict_refuses_other_records_and_wrong_values(data: object, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        PromptAnalysis.from_dict(data)


@pytest.mark.parametrize("text", ["", "{", "[" * 200_000, "null"])
def test_from_json_refuses_text_that_is_no_record(text: str) -> None:
    with pytest.raises(InvalidInputError):
        PromptAnalysis.from_json(text)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PipelineConfig(base_model=" "), "base_model"),
        (lambda: PipelineConfig(mode="MAGIC"), "mode must be 'AUTO'"),
        (lambda: GenerationConstraints(max_time_seconds=0), "max_time_seconds"),
        (lambda: GenerationConstraints(max_vram_gb=float("nan")), "max_vram_gb"),
        (lambda: LoRAPreferences(max_loras=-1), "max_loras"),
        (lambda: LoRAPreferences(min_confidence=1.5), "min_confidence"),
        (lambda: MemorySettings(offload_strategy="NONE"), "offload_strategy"),
        (lambda: BatchConfig(num_images=0), "num_images"),
        (lambda: BatchConfig(base_seed=-1), "seed"),
        (lambda: OllamaConfig(base_url="file:///etc/passwd"), "base_url"),
    ],
)
def test_constructor_names_the_wrong_field(make: object, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        make()  # type: ignore[operator]


def test_enum_takes_lower_case_names() -> None:
    assert PipelineConfig(mode="assisted").mode is OperationMode.ASSISTED  # type: ignore[arg-type]


USERS = (
    BatchConfig,
    GenerationConstraints,
    LoRAPreferences,
    MemorySettings,
    OllamaConfig,
    PipelineConfig,
)
"""Records that users make."""

REFUSED = [
    (PipelineConfig, {"allow_downloads": "no"}, "allow_downloads must be a valid boolean, got 'no'"),
    (PipelineConfig, {"quality_tags": 1}, "quality_tags must be a valid boolean, got 1"),
    (PipelineConfig, {"mode": 3}, "mode must be 'AUTO', 'ASSISTED' or 'MANUAL', got 3"),
    (PipelineConfig, {"constraints": 8}, "constraints must be .* GenerationConstraints, got 8"),
    (PipelineConfig, {"constraints": {"max_vram_gb": "8"}}, "constraints.max_vram_gb must be a valid number, got '8'"),
    (PipelineConfig, {"constraints": {"max_vram": 8}}, "constraints.max_vram is unknown; did you mean 'max_vram_gb'"),
    (GenerationConstraints, {"max_vram_gb": True}, "max_vram_gb must be a valid number, got True"),
    (GenerationConstraints, {"max_vram_gb": 0}, "max_vram_gb must be greater than 0, got 0"),
    (GenerationConstraints, {"max_time_seconds": float("inf")}, "max_time_seconds must be a finite number, got inf"),
    (LoRAPreferences, {"max_loras": 2.0}, "max_loras must be a valid integer, got 2.0"),
    (LoRAPreferences, {"max_loras": "2"}, "max_loras must be a valid integer, got '2'"),
    (LoRAPreferences, {"max_loras": True}, "max_loras must be a valid integer, got True"),
    (BatchConfig, {"base_seed": 2**64}, "base_seed must be less than or equal to 18446744073709551615"),
    (OllamaConfig, {"model": " "}, "model must have at least 1 character"),
]


@pytest.mark.parametrize(("kind", "values", "said"), REFUSED)
def test_validated_record_refuses_alike_everywhere(kind: type, values: dict, said: str) -> None:
    ((name, value),) = values.items()
    for make in (lambda: kind(**values), lambda: kind.from_dict(values), lambda: setattr(kind(), name, value)):
        with pytest.raises(InvalidInputError, match=said):
            make()


ACCEPTED = [
    (PipelineConfig, {"base_model": Path("models") / "a.safetensors"}, str(Path("models") / "a.safetensors")),
    (PipelineConfig, {"mode": "manual"}, OperationMode.MANUAL),
    (PipelineConfig, {"constraints": {"max_vram_gb": 8}}, GenerationConstraints(max_vram_gb=8.0)),
    (GenerationConstraints, {"max_vram_gb": np.float32(8)}, 8.0),
    (GenerationConstraints, {"max_vram_gb": None}, None),
    (LoRAPreferences, {"max_loras": np.int64(2)}, 2),
    (BatchConfig, {"base_seed": 2**64 - 1}, 2**64 - 1),
]


@pytest.mark.parametrize(("kind", "values", "expected"), ACCEPTED)
def test_validated_record_accepts_alike_everywhere(kind: type, values: dict, expected: object) -> None:
    ((name, value),) = values.items()
    assigned = kind()
    setattr(assigned, name, value)
    for record in (kind(**values), kind.from_dict(values), assigned):
        assert getattr(record, name) == expected
        assert type(getattr(record, name)) is type(expected)


@pytest.mark.parametrize("kind", USERS)
def test_settings_refuse_unknown_fields(kind: type) -> None:
    with pytest.raises(AttributeError, match="no_such"):
        kind().no_such = 1
    with pytest.raises(InvalidInputError, match="no_such is unknown"):
        kind.from_dict({"no_such": 1})


@pytest.mark.parametrize("kind", USERS)
def test_settings_copy_pickle_and_replace(kind: type) -> None:
    record = kind()
    assert copy.deepcopy(record) == pickle.loads(pickle.dumps(record)) == dataclasses.replace(record) == record


@pytest.mark.parametrize("value", [0, 65, 1.0, True, "3", None])
def test_checked_names_argument_and_limits(value: object) -> None:
    with pytest.raises(InvalidInputError, match="count must be "):
        checked("count", value, int, ge=1, le=64)
    assert checked("count", np.int32(64), int, ge=1, le=64) == 64


LORA = LoRARecommendation("a", ModelMetadata("lora:a.safetensors", "a"), 0.9, 0.8)


@pytest.mark.parametrize("value", [10.5, -11, float("nan"), float("inf"), "0.8", True, None])
def test_recommendation_refuses_strength_out_of_bounds(value: object) -> None:
    with pytest.raises(InvalidInputError, match="suggested_alpha must be"):
        dataclasses.replace(LORA, suggested_alpha=value)
    with pytest.raises(InvalidInputError, match="suggested_alpha must be"):
        LoRARecommendation.from_dict({**LORA.to_dict(), "suggested_alpha": value})
    edited = copy.copy(LORA)
    with pytest.raises(InvalidInputError, match="suggested_alpha must be"):
        edited.suggested_alpha = value  # type: ignore[assignment]
    assert edited == LORA


@pytest.mark.parametrize(
    "value",
    [
        {"loras": [{"name": "é", "tags": {"a": 1}}, {}], "none": None, "empty": [], "of": {}},
        [[1.5, [2, {"x": [3]}]], "text", {}],
        {1: "a number for a key", None: 2},
        "text",
    ],
)
@pytest.mark.parametrize("depth", [0, 1, 2, 5])
def test_json_parts_join_to_the_same_text(value: object, depth: int) -> None:
    assert "".join(json_parts(value, depth)) == json.dumps(value)
