"""The result of reading a prompt."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ..records import Reason, Record


class ArtisticStyle(StrEnum):
    """The look that the prompt asks for."""

    PHOTOREALISTIC = "photorealistic"
    ANIME = "anime"
    CARTOON = "cartoon"
    PAINTING = "painting"
    DRAWING = "drawing"
    RENDER_3D = "3d"
    PIXEL_ART = "pixel art"
    ABSTRACT = "abstract"
    UNSPECIFIED = "unspecified"


class ContentType(StrEnum):
    """Main subject of the picture."""

    CHARACTER = "character"
    PORTRAIT = "portrait"
    GROUP = "group"
    ANIMAL = "animal"
    LANDSCAPE = "landscape"
    ARCHITECTURE = "architecture"
    INTERIOR = "interior"
    OBJECT = "object"
    FOOD = "food"
    VEHICLE = "vehicle"
    ABSTRACT = "abstract"
    UNSPECIFIED = "unspecified"


class QualityLevel(StrEnum):
    """Finish that the prompt asks for."""

    DRAFT = "draft"
    STANDARD = "standard"
    HIGH = "high"


class ComplexityCategory(StrEnum):
    """Amount of what the picture has to hold."""

    SIMPLE = "simple"
    MODERATE = "moderate"
    COMPLEX = "complex"


class ConceptCategory(StrEnum):
    """Kinds of concepts."""

    CHARACTER = "character"
    STYLE = "style"
    CONTENT = "content"
    SETTING = "setting"
    QUALITY = "quality"
    LIGHTING = "lighting"
    CAMERA = "camera"
    TECHNICAL = "technical"


QUALITY_CATEGORIES = (ConceptCategory.QUALITY, ConceptCategory.TECHNICAL)
"""Categories that say how a picture is made, not what it shows."""


@dataclass(frozen=True)
class Segment:
    """A run of prompt text with one attention weight."""

    text: str
    weight: float = 1.0
    span: tuple[int, int] = (0, 0)
    """Start and end in the prompt, in characters."""


@dataclass(frozen=True)
class LoRATag:
    """`<lora:name:strength_model[:strength_clip]>` or `<lyco:…>` as it stood in the prompt."""

    name: str
    strength_model: float = 1.0
    strength_clip: float | None = None
    """None: the same as `strength_model`."""
    span: tuple[int, int] = (0, 0)
    ignored: str = ""
    """Parts of the tag that are not carried out, such as block weights."""
    trigger_words: tuple[str, ...] | None = None
    """Trigger words that the user chose for it; None: they are chosen here."""


@dataclass(frozen=True)
class RefusedTag:
    """A LoRA tag that cannot be obeyed, as it stood in the prompt, and why."""

    text: str
    reason: Reason


@dataclass(frozen=True)
class Negation:
    """Words that a prompt has only to say that it does not want them: `without` and `glasses`."""

    text: str
    """The words that are not wanted, as they are written."""
    cue: str
    """The words that say so."""
    span: tuple[int, int]
    """Start and end of both together in the prompt, in characters."""


@dataclass(frozen=True)
class Intent:
    """Kind of picture that is wanted."""

    artistic_style: ArtisticStyle = ArtisticStyle.UNSPECIFIED
    content_type: ContentType = ContentType.UNSPECIFIED
    confidence: float = 0.0
    """0 … 1: clarity of style and content, each half of it; one that the prompt does not say counts 0."""


@dataclass(frozen=True)
class PromptAnalysis(Record):
    """The first stage's result: grammar and meaning of a prompt."""

    prompt: str
    negative_prompt: str = ""
    text: str = ""
    """The prompt as it may be encoded: LoRA tags out, everything else in ComfyUI's syntax."""
    segments: tuple[Segment, ...] = ()
    negated: tuple[Negation, ...] = ()
    """Words that the prompt does not want, in order; `wanted_text(analysis)` is its text without them."""
    concepts: dict[ConceptCategory, tuple[str, ...]] = field(default_factory=dict)
    intent: Intent = field(default_factory=Intent)
    complexity: float = 0.0
    """0 … 1."""
    complexity_category: ComplexityCategory = ComplexityCategory.SIMPLE
    lora_tags: tuple[LoRATag, ...] = ()
    refused_tags: tuple[RefusedTag, ...] = ()
    quality_family: str | None = None
    """The model family whose quality tags the prompt uses (`score_9` → `pony`); a `models.Family` value."""
    tag_style: float = 0.5
    """Probability that this is a tag list rather than natural language."""
    language: str = "en"
    """ISO 639-1 code: `es` where more of its words are Spanish than English, else `en`."""
    analyzer: str = "rules"
    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()
    """Hints for the user: syntax that was dropped, an analyzer that did not answer."""

    @property
    def unwanted_text(self) -> str:
        """The words that the prompt or the negative prompt names as not wanted, separated by commas."""
        return ", ".join(filter(None, (*(negation.text for negation in self.negated), self.negative_prompt)))

    @property
    def shown_concepts(self) -> tuple[str, ...]:
        """Concepts of what the picture shows, without quality and technical words; ratings are kept under them."""
        return tuple(
            concept
            for category, concepts in self.concepts.items()
            if category not in QUALITY_CATEGORIES
            for concept in concepts
        )
