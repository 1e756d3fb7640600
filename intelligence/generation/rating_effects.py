"""Effects of a rating, in words: which of the picture's LoRAs it makes more or less likely for such prompts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import ModelNotFoundError, UnknownGenerationError
from ..prompt import ArtisticStyle, ContentType, PromptAnalysis
from ..records import Reason, Source
from .generation_messages import GenerationMessage as Text
from .planner import Planner
from .stages import Generation

MIN_CHANGE = 0.005
"""Change of confidence from which a sentence is made of it."""

T = TypeVar("T")


def with_effects(planner: Planner, identifier: str, rate: Callable[[], T]) -> tuple[T, list[Reason]]:
    """Return what `rate` does, and a reason for each LoRA of the generation that it changes something for.

    `identifier`: of a generation, an image or a run. Raises what `rate` raises.
    """
    try:
        made = Generation.from_dict(planner.learning.get_generation(identifier).data)
    except UnknownGenerationError:
        return rate(), []
    analysis = made.plan.recommendations.prompt_analysis
    loras = {lora.lora_metadata.model_id: lora.lora_name for lora in made.plan.loras}
    before = planner.recommender().liking(analysis, [*loras])
    result = rate()
    after = planner.recommender().liking(analysis, [*loras])
    changes = {name: after[lora] - before[lora] for lora, name in loras.items() if lora in after and lora in before}
    titles = {name: _title(planner, lora) or name for lora, name in loras.items()}
    kind = kind_of(analysis)
    return result, [
        Reason.of("lora", Source.LEARNED, message, lora=titles[name], kind=kind)
        for name, change in changes.items()
        if abs(change) >= MIN_CHANGE
        for message in [Text.LORA_RISES if change > 0 else Text.LORA_FALLS]
    ]


def kind_of(analysis: PromptAnalysis) -> str:
    """Return the prompt's style, else its subject, for a sentence about prompts of this kind."""
    intent = analysis.intent
    if intent.artistic_style is not ArtisticStyle.UNSPECIFIED:
        return intent.artistic_style.value
    return "such" if intent.content_type is ContentType.UNSPECIFIED else intent.content_type.value


def _title(planner: Planner, model_id: str) -> str:
    try:
        return planner.registry.get_model(model_id).title
    except ModelNotFoundError:
        return ""
