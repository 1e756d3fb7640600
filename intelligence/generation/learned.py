"""Everything that was learned from ratings, in words and small charts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ..learning import LearningEngine
from ..learning.observations import Applied, PromptTraits
from ..learning.value_model import ValueModel
from ..lora.lora_library import library_of
from ..records import Reason, Record
from ..registry import ModelRegistry
from .learning_gain import LearningGain, learning_gain

SHOWN_STARS = 8
"""Newest stars of a LoRA that are listed."""
BAR_WIDTH = 20
"""Characters of the longest bar."""
MAX_COMPARED = 2000
"""Newest ratings by which the gain of learning is told."""
CLEAR = 0.1
"""Stars from which an effect is called one."""


@dataclass(frozen=True)
class LearnedLoRA(Record):
    """A rated LoRA."""

    lora: str
    """Model id."""
    name: str
    stars: tuple[int, ...]
    """Of its pictures, oldest first, the newest 8."""
    count: int
    """Rated pictures with it that count."""
    effect: float
    """Stars that ratings add to it on any prompt, beyond what its confidence says."""
    sd: float
    """Standard deviation of `effect`, in stars."""
    installed: bool = True
    """False: it is not in the library now."""


@dataclass(frozen=True)
class RatedMonth(Record):
    month: str
    """`2026-11`."""
    count: int
    mean: float
    """Stars."""


@dataclass(frozen=True)
class Learned(Record):
    """Ratings, and what follows from them."""

    generations: int
    ratings: int
    by_stars: tuple[int, ...]
    """Ratings of 1, 2, 3, 4 and 5 stars."""
    months: tuple[RatedMonth, ...]
    loras: tuple[LearnedLoRA, ...]
    """Most liked first."""
    paused: bool = False
    keep_prompts: bool = True
    notes: tuple[Reason, ...] = ()
    gain: LearningGain | None = None
    """Of learning, where `unlearned_share` left some choices without it; None: nothing to tell by."""


def learned(registry: ModelRegistry, learning: LearningEngine, notes: Sequence[Reason] = ()) -> Learned:
    """Return what was learned from ratings. Raises StorageError."""
    library, preferences = library_of(registry), learning.preferences(registry.moves())
    model = preferences.model(library.taste_traits, library)
    names = {each.model_id: each.name for each in library.models}
    counts = learning.counts()
    return Learned(
        counts.generations,
        counts.ratings,
        tuple(learning.ratings_by_stars()),
        tuple(RatedMonth(*month) for month in learning.ratings_by_month()),
        tuple(sorted(_loras(model, names), key=lambda each: (-each.effect, each.name))),
        learning.paused,
        learning.keep_prompts,
        tuple(notes),
        learning_gain((each.generation.data, each.rating) for each in learning.rated_pictures(MAX_COMPARED)),
    )


def learned_lines(found: Learned) -> list[str]:
    """Return what was learned as text with bars."""
    lines = [f"{found.ratings} ratings, {found.generations} pictures or sets of pictures made"]
    lines += [f"! {note.evidence}" for note in found.notes]
    if found.paused:
        lines.append("Paused: choices heed no rating (learned --resume)")
    if not found.keep_prompts:
        lines.append("Prompts are not stored (learned --prompts on)")
    if found.ratings:
        lines += ["", "Stars"]
        lines += [f"  {stars}  {_bar(count, found.by_stars)} {count}" for stars, count in _numbered(found.by_stars)]
        lines += ["", "By month"]
        lines += [
            f"  {one.month}  {'█' * round(one.mean * 2):<10} {one.mean:.1f} of {one.count}" for one in found.months
        ]
    if found.gain is not None:
        lines += ["", _gain(found.gain)]
    if found.loras:
        lines += ["", "LoRAs, the most liked first (learned --reset NAME takes one back)"]
        lines += [f"  {one.name}: {_effect(one)}{'' if one.installed else ' (not installed)'}" for one in found.loras]
    return lines


def _loras(model: ValueModel, names: dict[str, str]) -> list[LearnedLoRA]:
    stars: defaultdict[str, list[int]] = defaultdict(list)
    for one in model.observations:
        if one.is_rating:
            for used in one.picture.loras:
                stars[used.lora].append(round(one.stars))
    ids = list(stars)
    found = model.utilities(PromptTraits(object()), [Applied(lora, expected=0.0) for lora in ids])
    return [
        LearnedLoRA(
            lora,
            names.get(lora, lora.partition(":")[2]),
            tuple(stars[lora][-SHOWN_STARS:]),
            len(stars[lora]),
            round(float(shift), 2),
            round(float(sd), 2),
            lora in names,
        )
        for lora, shift, sd in zip(ids, found.shift, found.sd, strict=True)
    ]


def _gain(gain: LearningGain) -> str:
    if not gain.known:
        return f"Gain of learning: not known yet ({gain.low:+.1f} to {gain.high:+.1f} stars a picture)"
    return f"Gain of learning: {gain.stars:+.1f} stars a picture ({gain.low:+.1f} to {gain.high:+.1f})"


def _effect(one: LearnedLoRA) -> str:
    stars = ", ".join(map(str, one.stars))
    told = (
        "no difference yet"
        if abs(one.effect) < CLEAR
        else f"{'liked' if one.effect > 0 else 'disliked'}, {one.effect:+.1f} stars"
    )
    return f"{told} ({'…, ' if one.count > len(one.stars) else ''}{stars})"


def _numbered(counts: Sequence[int]) -> list[tuple[int, int]]:
    return list(reversed(list(enumerate(counts, 1))))


def _bar(count: int, counts: Sequence[int]) -> str:
    return ("█" * round(BAR_WIDTH * count / max(1, *counts))).ljust(BAR_WIDTH)
