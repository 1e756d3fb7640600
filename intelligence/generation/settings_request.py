"""Sampling settings as a user asks for them: budgets, settings that are filled in, and how many to compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..config import AUTO, GenerationConstraints, require
from ..memory import MemoryRequest, Resources
from ..models import Family, ModelEvidence
from ..prompt import PromptAnalysis
from .batch import parameter_variants
from .explanation import as_text, explain
from .planner import Planner
from .stages import PromptRecommendations, Recommendations

NOT_CROSSED = (
    "`variations`: {sets} sets of LoRAs come in already, and ComfyUI pairs lists item by item, so that most images "
    "would get other LoRAs than their explanation names. Set `variations` to 1 here or in LoRA Recommend."
)


@dataclass(frozen=True)
class SettingsRequest:
    """Inputs of a choice of settings, apart from the recommendations and the model."""

    constraints: GenerationConstraints = field(default_factory=GenerationConstraints)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Setting → value that wins over every choice; 0 and `auto`: to be chosen. See `OVERRIDES` in parameters."""
    memory: MemoryRequest = field(default_factory=MemoryRequest)
    """Images, model and host of the memory plan that the settings must fit."""
    aspect: str = AUTO
    variations: int = 1
    """Neighbouring settings to compare."""
    family: Family = Family.UNKNOWN
    """Set by the user; UNKNOWN: as set before, else detected."""
    resources: Resources | None = None
    """The machine; None: detected."""

    def choose(
        self, planner: Planner, stage: PromptRecommendations | PromptAnalysis, model: ModelEvidence | None = None
    ) -> list[Recommendations]:
        """Return the recommendations with settings, the best first; `model` None: the one of `stage`.

        Raises InvalidInputError for a setting that cannot be used, and for variations of several sets of LoRAs.
        """
        if isinstance(stage, PromptAnalysis):
            stage = PromptRecommendations(stage, [], prompt=stage.text, negative_prompt=stage.negative_prompt)
        require(self.variations == 1 or stage.variants == 1, NOT_CROSSED.format(sets=stage.variants))
        chosen = planner.parametrize(
            planner.identified(stage, model or stage.model or ModelEvidence(), self.family),
            self.constraints,
            overrides={name: value for name, value in self.settings.items() if value not in (0, AUTO)},
            aspect=self.aspect,
            request=self.memory,
            resources=self.resources,
        )
        return parameter_variants(planner, chosen, self.variations)


def settings_report(recommendations: Recommendations) -> str:
    """Return the explanation of the settings, without that of each LoRA."""
    return as_text(replace(explain(recommendations), lora_reasoning={}))
