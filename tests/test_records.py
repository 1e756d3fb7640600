"""Records as JSON: there and back, and what is refused."""

from __future__ import annotations

import json

import pytest

from intelligence import (
    BatchConfig,
    GenerationConstraints,
    InvalidInputError,
    LoRAPreferences,
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
def test_there_and_back(record: object) -> None:
    text = record.to_json()  # type: ignore[attr-defined]
    assert type(record).from_json(text) == record  # type: ignore[attr-defined]
    assert json.loads(text)["schema"] == 1
    assert json.loads(text)["type"] == type(record).__name__


def test_what_a_newer_version_added_is_ignored() -> None:
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
def test_what_is_refused(data: object, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        PromptAnalysis.from_dict(data)


@pytest.mark.parametrize("text", ["", "{", "[" * 200_000, "null"])
def test_text_that_is_no_record(text: str) -> None:
    with pytest.raises(InvalidInputError):
        PromptAnalysis.from_json(text)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PipelineConfig(base_model=" "), "base_model"),
        (lambda: PipelineConfig(mode="MAGIC"), "mode must be one of AUTO"),
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
def test_configuration_is_checked_where_it_is_made(make: object, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        make()  # type: ignore[operator]


def test_names_are_taken_in_lower_case() -> None:
    assert PipelineConfig(mode="assisted").mode is OperationMode.ASSISTED  # type: ignore[arg-type]
