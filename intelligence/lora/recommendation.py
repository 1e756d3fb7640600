"""A LoRA that was chosen, and one that was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from ..config import MAX_LORA_STRENGTH
from ..models import ModelMetadata
from ..records import Reason, Record, ValidatedRecord
from ..validation import bounds

MAX_OFFERED_SETS = 6
"""Sets of trigger words of a LoRA that a user is offered."""


class NamedLoRA(NamedTuple):
    """A LoRA that a tag names, and the strengths that the tag gives it."""

    model: ModelMetadata
    strength: float
    clip: float | None = None
    """On the text encoders; None: the same."""
    ignored: str = ""
    """Parts of the tag that are not carried out."""
    trigger_words: tuple[str, ...] | None = None
    """Trigger words that the user chose; None: they are chosen here."""


@dataclass
class LoRARecommendation(ValidatedRecord):
    """A LoRA to apply. May be edited before generating."""

    lora_name: str
    lora_metadata: ModelMetadata = field(repr=False)
    confidence_score: Annotated[float, bounds(ge=0, le=1)]
    suggested_alpha: Annotated[float, bounds(ge=-MAX_LORA_STRENGTH, le=MAX_LORA_STRENGTH)]
    """Strength on the UNet."""
    matching_concepts: tuple[str, ...] = ()
    """The prompt's words that speak for it."""
    reasoning: str = ""
    """`reasons` as one text; made from them when left empty."""
    suggested_alpha_clip: Annotated[float, bounds(ge=-MAX_LORA_STRENGTH, le=MAX_LORA_STRENGTH)] | None = None
    """Strength on the text encoders; None: the same as `suggested_alpha`."""
    strength_range: tuple[float, float] | None = None
    trigger_words: tuple[str, ...] = ()
    """Words that the prompt lacks and that this LoRA needs."""
    reasons: tuple[Reason, ...] = field(default=(), repr=False)
    named: bool = False
    """True where the user named it (by a tag, a selection, a stack); False where the pack chose it."""
    relevance: Annotated[float, bounds(ge=0, le=1)] | None = None
    """Confidence before ratings; None: not judged."""
    trigger_set: str = ""
    """Phrases that the set of trigger words which was used has for itself; empty: there is one set, or none was."""
    standing: Annotated[float, bounds(ge=0, le=1)] = 0.0
    """Probability that it, rather than another LoRA or none, belongs to the prompt; 0: not ranked."""

    def __post_init__(self) -> None:
        self.reasoning = self.reasoning or "; ".join(reason.evidence for reason in self.reasons)
        super().__post_init__()

    @property
    def title(self) -> str:
        """Name for people: its own title, else its file's name."""
        return self.lora_metadata.title or self.lora_name

    @property
    def alpha_clip(self) -> float:
        """Strength on the text encoders."""
        return self.suggested_alpha if self.suggested_alpha_clip is None else self.suggested_alpha_clip


@dataclass(frozen=True)
class RejectedLoRA:
    """A LoRA that looked relevant or was named, and why it is not applied."""

    lora_name: str
    reason: Reason
    title: str = ""
    """Name for people; empty: as `lora_name`, which may be the text that the user wrote."""


@dataclass(frozen=True)
class NearLoRA:
    """A LoRA that is not applied, ready to be added by the user: as `selection` takes it."""

    lora: str
    """Its path under the folder of LoRAs."""
    lora_name: str
    title: str
    confidence_score: float
    """Probability that a person asked for it, 0 … 1."""
    strength: float
    strength_clip: float | None
    """None: the same."""
    strength_range: tuple[float, float] | None
    trigger_words: tuple[str, ...]
    """Words that would be added."""
    trigger_sets: tuple[tuple[str, ...], ...]
    """Sets to choose from."""
    reasoning: str
    """Evidence for it."""
    reason: Reason
    """Reason why it is not applied."""

    @classmethod
    def of(cls, lora: LoRARecommendation, reason: Reason) -> NearLoRA:
        """Return a recommendation that was turned down."""
        model = lora.lora_metadata
        return cls(
            lora=model.model_id.partition(":")[2],
            lora_name=lora.lora_name,
            title=lora.title,
            confidence_score=max(lora.confidence_score, reason.weight),
            strength=lora.suggested_alpha,
            strength_clip=lora.suggested_alpha_clip,
            strength_range=lora.strength_range,
            trigger_words=lora.trigger_words,
            trigger_sets=tuple(trigger.words for trigger in model.trigger_sets[:MAX_OFFERED_SETS]),
            reasoning=lora.reasoning,
            reason=reason,
        )


@dataclass(frozen=True)
class OfferedLoRA(Record):
    """A LoRA as it was suggested to the user, who then made the choice."""

    lora: str
    """Model id."""
    strength: float
    confidence: float = 0.0
    """Before ratings, 0 … 1."""
    suggested: bool = True
    """False: it was only listed as near."""
    named: bool = False
    """True where the prompt or the graph names it."""
    standing: float = 0.0
    """See `LoRARecommendation.standing`."""


def offered_loras(chosen: Sequence[LoRARecommendation], nearest: Sequence[NearLoRA] = ()) -> tuple[OfferedLoRA, ...]:
    """Return suggestions as they were offered, best first, those that are only near last."""
    suggested = [
        OfferedLoRA(
            one.lora_metadata.model_id,
            one.suggested_alpha,
            one.confidence_score if one.relevance is None else one.relevance,
            named=one.named,
            standing=one.standing,
        )
        for one in chosen
    ]
    near = [OfferedLoRA(f"lora:{one.lora}", one.strength, one.confidence_score, suggested=False) for one in nearest]
    return (*suggested, *near)


@dataclass(frozen=True)
class LoRAChoice(Record):
    """The recommender's decision: the LoRAs to apply, best first, and those turned down with their reasons."""

    chosen: tuple[LoRARecommendation, ...] = ()
    rejected: tuple[RejectedLoRA, ...] = ()
    nearest: tuple[NearLoRA, ...] = ()
    """Of those turned down, the surest that the user may add."""
    reasons: tuple[Reason, ...] = ()
