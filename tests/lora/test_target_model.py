"""LoRAs measured against a loaded model: what is applied, refused and said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from intelligence.generation.choice_requests import LoRARequest
from intelligence.generation.planner import Planner
from intelligence.generation.stages import PromptRecommendations
from intelligence.learning import LearningEngine
from intelligence.lora import LoRAChoice, LoRARecommender
from intelligence.lora.target_model import left_out
from intelligence.models import Architecture, LoRAKind, ModelEvidence
from intelligence.models.evidence import AppliedLoRA
from intelligence.models.headers import Shapes
from intelligence.models.lora_fit import LoRAFit, Target
from intelligence.models.metadata import ModelMetadata
from intelligence.prompt import PromptAnalyzer
from intelligence.records import Source
from intelligence.registry import ModelRegistry
from tests.lora.library import Library, lora

SDXL = ModelEvidence(name="model.safetensors", architecture=Architecture.SDXL)
NAMES = [f"lora_unet_{number}" for number in range(20)]
FIT = LoRAFit({name: Target(f"model.{name}.weight", (6, 4)) for name in NAMES}, "sdxl", has_text=False)


def pairs(names: list[str], rows: int = 6) -> Shapes:
    ends = {".lora_up.weight": (rows, 2), ".lora_down.weight": (2, 4)}
    return {name + end: shape for name in names for end, shape in ends.items()}


OTHERS = [f"lora_unet_other_{number}" for number in range(20)]
ALL, HALF, FEW = pairs(NAMES), pairs(NAMES[:10] + OTHERS[:10]), pairs(NAMES[:9] + OTHERS[:11])
NONE, CLASHING = pairs(OTHERS), {**pairs(NAMES[:17]), **pairs(NAMES[17:], 8)}
TEXT = pairs(["lora_te_text_model_encoder_layers_0_mlp_fc1"])


@pytest.fixture
def witch(tmp_path: Path, model: Callable[..., Path]) -> Callable[..., ModelMetadata]:
    """(tensors, further fields) → the record of a LoRA that the prompts here speak for."""

    def make(shapes: Shapes, **fields: object) -> ModelMetadata:
        path = model(tmp_path / "mirkwood_witch.safetensors", shapes)
        record = lora("mirkwood_witch", "mirkwood witch", kind=LoRAKind.CHARACTER)
        return replace(record, local_path=str(path), **fields)  # type: ignore[arg-type]

    return make


def choose(prompt: str, *models: ModelMetadata, base: ModelEvidence = SDXL, fit: LoRAFit | None = FIT) -> LoRAChoice:
    recommender = LoRARecommender(Library(*models), fit=fit)
    return recommender.choose(PromptAnalyzer().analyze(prompt), base)


def outcome(choice: LoRAChoice) -> str:
    """Keys of the sentences on how the one LoRA fits: those of an applied one, or of its refusal."""
    if choice.chosen:
        reasons = [reason for reason in choice.chosen[0].reasons if reason.setting == "base model"]
    else:
        reasons = [item.reason for item in choice.rejected]
    return " ".join(reason.message.removeprefix("lora.") for reason in reasons)


CASES = [
    (ALL, Architecture.SDXL, True, "loads_all"),
    (ALL, Architecture.UNKNOWN, True, "loads_all"),
    (ALL, Architecture.SD3, True, "loads_all other_architecture"),
    (ALL, Architecture.KOLORS, False, "other_architecture"),
    (HALF, Architecture.SDXL, True, "loads_part"),
    (HALF, Architecture.UNKNOWN, True, "loads_part"),
    (HALF, Architecture.SD3, False, "other_architecture"),
    (FEW, Architecture.SDXL, False, "loads_too_little"),
    (CLASHING, Architecture.SDXL, False, "loads_too_little"),
    (NONE, Architecture.SDXL, False, "loads_nothing"),
    (TEXT, Architecture.SDXL, False, "loads_nothing"),
]


@pytest.mark.parametrize("shapes, architecture, chosen, said", CASES)
def test_choose_by_what_is_loaded(
    witch: Callable[..., ModelMetadata], shapes: Shapes, architecture: Architecture, chosen: bool, said: str
) -> None:
    choice = choose("mirkwood witch in a forest", witch(shapes, architecture=architecture))
    assert (bool(choice.chosen), outcome(choice)) == (chosen, said)


@pytest.mark.parametrize(
    "shapes, architecture, chosen, said",
    [
        (ALL, Architecture.UNKNOWN, True, "loads_all"),
        (ALL, Architecture.KOLORS, True, "loads_all other_architecture"),
        (FEW, Architecture.SD3, True, "loads_part other_architecture"),
        (NONE, Architecture.SDXL, False, "loads_nothing"),
        (NONE, Architecture.UNKNOWN, False, "loads_nothing"),
    ],
)
def test_choose_tag_by_what_is_loaded(
    witch: Callable[..., ModelMetadata], shapes: Shapes, architecture: Architecture, chosen: bool, said: str
) -> None:
    choice = choose("a forest <lora:mirkwood_witch:0.7>", witch(shapes, architecture=architecture))
    assert (bool(choice.chosen), outcome(choice)) == (chosen, said)


def test_choose_says_how_much_is_loaded(witch: Callable[..., ModelMetadata]) -> None:
    (rejected,) = choose("a forest <lora:mirkwood_witch:1>", witch(NONE)).rejected
    assert (rejected.reason.source, rejected.reason.arguments) == (Source.USER, {"total": 20})
    (chosen,) = choose("mirkwood witch", witch(HALF)).chosen
    (reason,) = [reason for reason in chosen.reasons if reason.setting == "base model"]
    assert (reason.source, reason.weight, reason.arguments) == (Source.MODEL, 0.5, {"loaded": 10, "total": 20})


@pytest.mark.parametrize("prompt", ["mirkwood witch", "a forest <lora:mirkwood_witch:0.7>"])
def test_choose_never_applies_twice(witch: Callable[..., ModelMetadata], prompt: str) -> None:
    model = witch(ALL)
    base = replace(SDXL, applied=(AppliedLoRA("mirkwood_witch.safetensors", model.model_id, 0.8, 20),))
    for fit in (FIT, None):
        choice = choose(prompt, model, base=base, fit=fit)
        assert (choice.chosen, outcome(choice)) == ((), "on_model_already")
        assert choice.rejected[0].reason.arguments == {"strength": 0.8}


def test_choose_measures_each_model_anew(witch: Callable[..., ModelMetadata]) -> None:
    library = Library(witch(ALL))
    analysis = PromptAnalyzer().analyze("mirkwood witch")
    other = LoRAFit({}, "other", has_text=False)
    chosen = [len(LoRARecommender(library, fit=fit).choose(analysis, SDXL).chosen) for fit in (FIT, other, None, FIT)]
    assert chosen == [1, 0, 1, 1]


@pytest.mark.parametrize(
    "count, said, arguments",
    [
        (20, None, None),
        (12, "lora.left_out", {"loaded": 12, "total": 20}),
        (0, "lora.not_loaded", {}),
    ],
)
def test_left_out_compares_with_what_was_measured(
    witch: Callable[..., ModelMetadata], count: int, said: str | None, arguments: dict[str, int] | None
) -> None:
    reason = left_out(count, FIT(witch(CLASHING)))
    assert (reason and reason.message, reason and reason.arguments) == (said, arguments)


def test_patched_drops_what_was_not_loaded(witch: Callable[..., ModelMetadata], tmp_path: Path) -> None:
    planner = Planner(ModelRegistry(tmp_path / "registry.db"), LearningEngine(tmp_path / "learning.db"))
    model = witch(ALL)
    analysis = PromptAnalyzer().analyze("a forest <lora:mirkwood_witch:0.7>")
    (lora,) = LoRARecommender(Library(model), fit=FIT).choose(analysis, SDXL).chosen
    chosen = planner.compose(PromptRecommendations(analysis, [lora], model=SDXL), quality_tags=False)
    request = LoRARequest(fit=FIT, quality_tags=False)
    assert "mirkwood witch" in chosen.prompt
    assert planner.patched(chosen, {model.local_path: 20}, request) == chosen
    (told,) = planner.patched(chosen, {model.local_path: 3}, request).suggested_loras
    assert told.reasons[-1].message == "lora.left_out" and told.reasoning.endswith(told.reasons[-1].evidence)
    dropped = planner.patched(chosen, {model.local_path: 0}, request)
    assert (dropped.suggested_loras, dropped.rejected[0].reason.message) == ([], "lora.not_loaded")
    assert "mirkwood witch" not in dropped.prompt
