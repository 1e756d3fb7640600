"""Results of the stages from prompt to image; each holds the one before."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

from ..config import OperationMode
from ..lora import LoRARecommendation, NearLoRA, RejectedLoRA
from ..lora.recommendation import OfferedLoRA
from ..memory import MemoryPlan
from ..models import FamilyFinding, ModelEvidence, ModelMetadata
from ..parameters import OptimizedParameters
from ..prompt import PromptAnalysis
from ..records import EditableRecord, Reason, Record
from .notebook import explanation_html, recommendations_html
from .postprocess.steps import PostStep, StepKind, planned_steps


@dataclass(frozen=True)
class GenerationExplanation(Record):
    """Decisions as text."""

    summary: str
    lora_reasoning: dict[str, str] = field(default_factory=dict)
    """LoRA name → reasons for or against it."""
    parameter_reasoning: dict[str, str] = field(default_factory=dict)
    performance_notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.summary

    def _repr_html_(self) -> str:
        notes = {str(number): note for number, note in enumerate(self.performance_notes, 1)}
        tables = {"LoRAs": self.lora_reasoning, "Settings": self.parameter_reasoning, "Notes": notes}
        return explanation_html(self.summary, tables)


class Arm(StrEnum):
    """Sides of the comparison of choices with and without learning."""

    NONE = "none"
    """Nothing is compared."""
    LEARNED = "learned"
    PLAIN = "plain"
    """Ratings were left aside."""


@dataclass
class PromptRecommendations(EditableRecord):
    """LoRAs and prompts to encode, before the settings are chosen."""

    prompt_analysis: PromptAnalysis
    suggested_loras: list[LoRARecommendation]
    _: KW_ONLY
    prompt: str = ""
    """The prompt to encode: without LoRA tags, with trigger words and quality tags."""
    negative_prompt: str = ""
    rejected: tuple[RejectedLoRA, ...] = ()
    nearest: tuple[NearLoRA, ...] = ()
    """LoRAs that are not applied and that the user may add, the surest first."""
    model: ModelEvidence | None = None
    family: FamilyFinding | None = None
    mode: OperationMode = OperationMode.AUTO
    reasons: tuple[Reason, ...] = ()
    variants: int = 1
    """Sets of LoRAs that are compared, this one among them."""
    arm: Arm = Arm.NONE
    """Side of the comparison that this choice belongs to."""
    arm_share: float = 1.0
    """Share of prompts that are drawn for this side."""
    offered: tuple[OfferedLoRA, ...] = ()
    """Suggestions that the user looked at before confirming these LoRAs; empty: nobody did."""
    suggest_only: bool = False
    """True where these are shown for the user to confirm, and nothing is applied or sampled."""

    def with_settings(self, parameters: OptimizedParameters) -> Recommendations:
        return Recommendations(**{**vars(self), "suggested_params": parameters, "explanation": None})


AnyRecommendations = TypeVar("AnyRecommendations", bound=PromptRecommendations)


@dataclass
class Recommendations(PromptRecommendations):
    """LoRAs, prompts and settings for a prompt. Every part may be edited before generating."""

    suggested_params: OptimizedParameters
    explanation: GenerationExplanation | None = None
    """Prints as its summary. Describes the suggestions, not later edits."""

    def _repr_html_(self) -> str:
        """Return these for a notebook: the LoRAs as they are now, the explanation as it was."""
        loras = [(lora.lora_name, lora.suggested_alpha, lora.confidence_score) for lora in self.suggested_loras]
        return recommendations_html(loras, self.prompt, self.explanation._repr_html_() if self.explanation else "")


@dataclass(frozen=True)
class GenerationPlan(Record):
    """Recommendations and memory plan: all that a host needs to sample."""

    recommendations: Recommendations
    memory: MemoryPlan
    postprocess: tuple[PostStep, ...] = ()
    """Steps between sampling and file, in order."""
    switched_off: tuple[StepKind, ...] = ()

    @property
    def parameters(self) -> OptimizedParameters:
        return self.recommendations.suggested_params

    def takes(self, kind: StepKind) -> bool:
        """Tell whether a step is not switched off."""
        return kind not in self.switched_off

    def without(self, off: Collection[StepKind]) -> GenerationPlan:
        """Return the plan with these steps switched off, see `planned_steps`."""
        return replace(
            self, switched_off=tuple(off), postprocess=planned_steps(self.parameters, self.memory, tuple(off))
        )

    def changed(self, **settings: Any) -> GenerationPlan:
        """Return the plan with other values of `parameters`' fields."""
        return self.with_parameters(replace(self.parameters, **settings))

    def with_parameters(self, parameters: OptimizedParameters) -> GenerationPlan:
        """Return the plan with these parameters."""
        return replace(self, recommendations=replace(self.recommendations, suggested_params=parameters))

    @property
    def loras(self) -> list[LoRARecommendation]:
        return self.recommendations.suggested_loras


@dataclass(frozen=True)
class OtherLoRA(Record):
    """A LoRA that other nodes put on the model."""

    file: ModelMetadata
    """Its identity."""
    strength: float = 1.0


BEST_OF = "best_of"
"""Setting of the reasons in …"""


@dataclass(frozen=True)
class BestOf(Record):
    """Candidates that were sampled for some steps, of which one was finished."""

    seeds: tuple[int, ...]
    """Of the candidates, in the order of trying."""
    finished: int = 0
    """Place of the one that was finished."""
    stars: tuple[float, ...] = ()
    """Stars that are expected of each, beside the first; empty: ratings do not tell yet, and the first was finished."""
    steps: int = 0
    """Sampled of each."""
    forward_items: int = 0
    """Computed for all of them."""
    kept_items: int = 0
    """Of these, not computed again for the one that was finished."""
    seconds: float = 0.0
    """Sampling and decoding of the previews, without loading."""
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Generation(Record):
    """A stored run of a host: the plan, its images' ids and measurements."""

    id: str
    plan: GenerationPlan
    image_ids: tuple[str, ...]
    seeds: tuple[int, ...]
    base_model_id: str = ""
    host: str = ""
    """`diffusers` or `comfyui`."""
    generation_time_seconds: float = 0.0
    """From the start of sampling to the decoded images, all of them."""
    peak_vram_gb: float = 0.0
    """GiB on the device; 0 where there is no counter (CPU)."""
    run_id: str = ""
    """The host's own name for the run (ComfyUI: prompt id)."""
    created_at: str = ""
    """ISO 8601, UTC."""
    denoise: float = 1.0
    notes: tuple[str, ...] = ()
    forward_items: int | None = None
    """None: not counted."""
    image_settings: tuple[OptimizedParameters, ...] = ()
    """Of each image, where a time limit changed them between two of them; empty: the plan's."""
    image_digests: tuple[str, ...] = ()
    """Of each image, or of each frame of them (`image_digest`); empty: not taken."""
    image_looks: tuple[tuple[int, ...], ...] = ()
    """`Look` of each image; empty: not taken."""
    best_of: BestOf | None = None
    """The choice of this image among several; None: there was none."""
    base_model: ModelMetadata | None = None
    """Identity of the base model's file, with its hashes once they are known; None: not one file."""
    other_loras: tuple[OtherLoRA, ...] = ()
    """LoRAs that the host had on the model already."""
    device: str = ""
    """Name of the card or processor that sampled; empty: unknown, as in older records."""

    def plan_of(self, index: int | None) -> GenerationPlan:
        """Return the plan that image `index` was made by; None: one of the images."""
        return self.plan.with_parameters(self.image_settings[index or 0]) if self.image_settings else self.plan
