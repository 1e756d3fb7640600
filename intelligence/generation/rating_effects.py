"""Effects of a rating, in words: which of the picture's LoRAs it makes more or less likely for such prompts."""

from __future__ import annotations

from ..errors import ModelNotFoundError, UnknownGenerationError
from ..learning import Feedback
from ..prompt import ArtisticStyle, ContentType, PromptAnalysis
from ..records import Reason, Source
from .generation_messages import GenerationMessage as Text
from .planner import Planner
from .stages import Generation

MIN_CHANGE, MIN_UNEXPECTED_CHANGE = 0.005, 0.02
"""Change of confidence from which a sentence is made of it; and of one that the stars alone do not explain."""
GOOD, BAD = 4, 2
"""Stars from which on, and down to which, a rating sounds good or bad."""


def rate(planner: Planner, identifier: str, rating: int, comments: str = "") -> tuple[Feedback, list[Reason]]:
    """Store a rating; return it, and a reason for each LoRA of the generation that it changes something for.

    `identifier`: of a generation, an image or a run. Raises what `LearningEngine.record_feedback` does.
    """
    learning = planner.learning
    try:
        made = Generation.from_dict(learning.get_generation(identifier).data)
        is_first = not learning.ratings(identifier)
    except UnknownGenerationError:
        return learning.record_feedback(identifier, rating, comments), []
    analysis = made.plan.recommendations.prompt_analysis
    loras = {lora.lora_metadata.model_id: lora.lora_name for lora in made.plan.loras}
    before = planner.recommender().liking(analysis, [*loras])
    result = learning.record_feedback(identifier, rating, comments)
    after = planner.recommender().liking(analysis, [*loras])
    changes = {name: after[lora] - before[lora] for lora, name in loras.items() if lora in after and lora in before}
    titles = {name: _title(planner, lora) or name for lora, name in loras.items()}
    kind = kind_of(analysis)
    return result, [
        Reason.of("lora", Source.LEARNED, message, lora=titles[name], kind=kind)
        for name, change in changes.items()
        if (message := _message(change, result.rating, is_first)) is not None
    ]


def _message(change: float, stars: int, is_first: bool) -> Text | None:
    """Tell a change as the stars sound; where four stars pull down, only if that is clear, and with the reason.

    A corrected rating rises or falls beside the one before it, whatever its stars.
    """
    if is_first and ((change < 0 and stars >= GOOD) or (change > 0 and stars <= BAD)):
        if abs(change) < MIN_UNEXPECTED_CHANGE:
            return None
        return Text.LORA_RISES_BEYOND if change > 0 else Text.LORA_FALLS_SHORT
    if abs(change) < MIN_CHANGE:
        return None
    return Text.LORA_RISES if change > 0 else Text.LORA_FALLS


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
