"""A LoRA that was chosen, and one that was not."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..config import MAX_LORA_STRENGTH, is_number, require
from ..models import ModelMetadata
from ..records import Reason, Record


@dataclass
class LoRARecommendation(Record):
    """One LoRA to apply. May be edited before generating."""

    lora_name: str
    lora_metadata: ModelMetadata = field(repr=False)
    confidence_score: float
    """0 … 1."""
    suggested_alpha: float
    """Strength on the UNet."""
    matching_concepts: tuple[str, ...] = ()
    """The prompt's words that speak for it."""
    reasoning: str = ""
    """`reasons` as one text; made from them when left empty."""
    suggested_alpha_clip: float | None = None
    """Strength on the text encoders; None: the same as `suggested_alpha`."""
    strength_range: tuple[float, float] | None = None
    trigger_words: tuple[str, ...] = ()
    """Words that the prompt lacks and that this LoRA needs."""
    reasons: tuple[Reason, ...] = field(default=(), repr=False)
    named: bool = False
    """Whether the user named it (by a tag, a selection, a stack) rather than the pack chose it."""

    def __post_init__(self) -> None:
        self.reasoning = self.reasoning or "; ".join(reason.evidence for reason in self.reasons)
        self.check()

    def check(self) -> None:
        """Raise InvalidInputError where an edit left a strength that cannot be applied."""
        for what, value in (("suggested_alpha", self.suggested_alpha), ("suggested_alpha_clip", self.alpha_clip)):
            require(
                is_number(value) and abs(value) <= MAX_LORA_STRENGTH,
                f"{self.lora_name}: {what} must be a number from -{MAX_LORA_STRENGTH:g} to {MAX_LORA_STRENGTH:g}, "
                f"got {value!r}",
            )

    @property
    def alpha_clip(self) -> float:
        """Strength on the text encoders."""
        return self.suggested_alpha if self.suggested_alpha_clip is None else self.suggested_alpha_clip


@dataclass(frozen=True)
class RejectedLoRA:
    """A LoRA that looked relevant or was named, and why it is not applied."""

    lora_name: str
    reason: Reason


@dataclass(frozen=True)
class LoRAChoice(Record):
    """What the recommender decided: the LoRAs to apply, best first, and those turned down with their reasons."""

    chosen: tuple[LoRARecommendation, ...] = ()
    rejected: tuple[RejectedLoRA, ...] = ()
    reasons: tuple[Reason, ...] = ()
