"""`Preferences`: rated pictures as observations, and the value model that follows from them for a library."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..pictures.look import Look
from ..prompt import PromptAnalysis
from .observation_arrays import ReadTraits
from .observations import RATING_NOISE, UNKNOWN, Applied, Observation, Picture, PromptTraits, Settings
from .value_model import ValueModel

UNJUDGED_CONFIDENCE = 0.3
"""Confidence taken for a LoRA of which none was stored, as for those that the user named in earlier versions."""


class UsedLoRA(NamedTuple):
    """A LoRA of a picture."""

    lora: str
    """Model id."""
    strength: float | None = None
    confidence: float = UNJUDGED_CONFIDENCE
    """The choice's own, before ratings, 0 … 1."""
    trigger_set: str = UNKNOWN
    """See `Applied`."""
    standing: float = 0.0
    """See `Applied.judged`."""
    digest: str | None = None
    """Of its file, by which it is known under another name; see `ModelMetadata.digest`."""

    def now(self, moves: Mapping[str, str]) -> str:
        """Return the model id that the file has now. Args: moves: see `PictureRating.picture`."""
        return moves.get(self.digest or "") or moves.get(self.lora, self.lora)


class PictureRating(NamedTuple):
    """A picture with a rating of its own or of its generation."""

    prompt: PromptTraits
    loras: tuple[UsedLoRA, ...]
    rating: int
    """1 … 5 stars."""
    weight: float = 1.0
    """Share of the rating, which the pictures of a generation that was rated whole have together."""
    settings: Settings | None = None
    look: Look | None = None

    def picture(self, moves: Mapping[str, str]) -> Picture:
        """Return what was rated. Args: moves: earlier model id, or digest of a file → id that this has now."""
        loras = {one.now(moves): one for one in self.loras}
        used = tuple(
            Applied.judged(lora, one.confidence, one.strength, one.trigger_set, one.standing)
            for lora, one in loras.items()
        )
        return Picture(self.prompt, used, self.settings, self.look)

    def observation(self, moves: Mapping[str, str]) -> Observation:
        """Return its stars. Args: moves: see `picture`."""
        return Observation(self.rating, self.picture(moves), noise=RATING_NOISE / self.weight**0.5)


_Made = dict[int, tuple[PictureRating, Observation]]
"""By the identity of a rating: equal ones are observations of their own."""


class Preferences:
    """Rated pictures, oldest first, and the value model that follows from them."""

    def __init__(
        self,
        pictures: Iterable[PictureRating] = (),
        moves: Mapping[str, str] | None = None,
        before: Preferences | None = None,
    ) -> None:
        """`moves`: see `PictureRating.picture`.

        `before`: earlier preferences, whose observations and model make these the sooner.
        """
        moves, pictures = dict(moves or {}), tuple(pictures)
        known = before._made[1] if before and before._made[0] == moves else {}
        made = [known.get(id(one)) or (one, one.observation(moves)) for one in pictures]
        self.observations = tuple(observation for _, observation in made)
        self._made: tuple[dict[str, str], _Made] = moves, {id(one[0]): one for one in made}
        self._model: tuple[Hashable, ValueModel] | None = None
        self._latest: _Latest = before._latest if before else _Latest()

    def after(self, earlier: Sequence[Observation]) -> Preferences:
        """Return the preferences with what was seen before any rating, or tells less than one."""
        found = Preferences(before=self)
        found.observations, found._made = (*earlier, *self.observations), self._made
        return found

    def __len__(self) -> int:
        return len(self.observations)

    def model(self, traits: ReadTraits, library: Hashable) -> ValueModel:
        """Return the value model, remembered for one `library`, whose LoRAs `traits` reads."""
        if self._model is None or self._model[0] != library:
            latest = self._latest.model
            before = latest[1] if latest and latest[0] == library else None
            self._model = self._latest.model = library, ValueModel(self.observations, traits, before=before)
        return self._model[1]


@dataclass
class _Latest:
    """The last model that preferences after one another made, with its library."""

    model: tuple[Hashable, ValueModel] | None = None


def picture_rating(
    data: Mapping[str, Any],
    loras: Sequence[str],
    concepts: Sequence[str],
    strengths: Sequence[float | None],
    rating: int,
    weight: float = 1.0,
) -> PictureRating:
    """Return a stored generation as the value model reads it.

    Args:
        data: JSON of the `Generation`; what it lacks is unknown.
        loras: model ids of the LoRAs that were applied.
        concepts: see `PromptAnalysis.shown_concepts`.
        strengths: of `loras`, or none.
        rating: 1 to 5 stars.
        weight: see `PictureRating`.
    """
    stage = stage_of(data)
    analysis, intent = _at(stage, "prompt_analysis"), _at(stage, "prompt_analysis", "intent")
    judged, known = {}, {}
    for one in stage.get("suggested_loras") or ():
        confidence = one.get("relevance")
        if confidence is None:
            confidence = UNJUDGED_CONFIDENCE if one.get("named") else one.get("confidence_score", UNJUDGED_CONFIDENCE)
        model = _at(one, "lora_metadata")
        judged[model.get("model_id")] = confidence
        known[model.get("model_id")] = one.get("trigger_set", UNKNOWN), one.get("standing", 0.0), model.get("digest")
    used = zip(loras, [*strengths] or [None] * len(loras), strict=True)
    return PictureRating(
        prompt_traits(
            analysis.get("prompt") or tuple(sorted(concepts)) or object(),
            intent.get("artistic_style", ""),
            intent.get("content_type", ""),
            analysis.get("tag_style", 0.5),
            concepts,
        ),
        tuple(
            UsedLoRA(lora, strength, judged.get(lora, UNJUDGED_CONFIDENCE), *known.get(lora, (UNKNOWN, 0.0)))
            for lora, strength in used
        ),
        rating,
        weight,
        settings_of(stage.get("suggested_params")),
    )


def stored_look(looks: Sequence[Sequence[int]], image: int | None) -> Look | None:
    """Return the look of an image, the mean look of all for None; None: not known.

    Args:
        looks: see `Generation.image_looks`.
    """
    if image is not None:
        looks = looks[image : image + 1]
    known = [look for look in looks if len(look) == len(Look._fields)]
    return Look(*(round(sum(values) / len(known)) for values in zip(*known, strict=True))) if known else None


def settings_of(parameters: Any) -> Settings | None:
    """Return the settings in the JSON of `OptimizedParameters`; None where there are none."""
    if not isinstance(parameters, Mapping):
        return None
    width, height = parameters.get("width"), parameters.get("height")
    return Settings(
        parameters.get("family", "unknown"),
        parameters.get("guidance_scale"),
        parameters.get("num_steps"),
        parameters.get("sampler_name"),
        parameters.get("schedule") or parameters.get("scheduler"),
        (width, height) if width and height else None,
    )


def prompt_traits(key: Hashable, style: str, content: str, tag_style: float, concepts: Iterable[str]) -> PromptTraits:
    """Return the traits of a prompt, from the values of its `PromptAnalysis`."""
    style, content = (UNKNOWN if value == "unspecified" else value for value in (style, content))
    return PromptTraits(key, style, content, tag_style > 0.5, frozenset(word.strip().casefold() for word in concepts))


def traits_of(analysis: PromptAnalysis) -> PromptTraits:
    """Return a prompt as the value model reads it."""
    intent = analysis.intent
    return prompt_traits(
        analysis.prompt,
        intent.artistic_style.value,
        intent.content_type.value,
        analysis.tag_style,
        analysis.shown_concepts,
    )


def stage_of(data: Any) -> Mapping[str, Any]:
    """Return the recommendations in the JSON of a `Generation`; empty where it has none."""
    return _at(data, "plan", "recommendations")


def _at(data: Any, *names: str) -> Mapping[str, Any]:
    for name in names:
        data = data.get(name) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}
