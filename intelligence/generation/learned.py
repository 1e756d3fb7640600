"""Everything that was learned from ratings, in words and small charts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ..history import PastPicture, PictureHistory
from ..learning import LearningEngine
from ..learning.observation_arrays import LEVEL
from ..learning.observations import Applied, Evidence, Observation, PromptTraits
from ..learning.signal_store import Noticed
from ..learning.value_model import ValueModel
from ..lora.lora_library import library_of
from ..records import Reason, Record
from ..registry import ModelRegistry
from ..units import counted
from .learning_gain import LearningGain, learning_gain
from .past_taste import past_observations

SHOWN_STARS = 8
"""Newest stars of a LoRA that are listed."""
BAR_WIDTH = 20
"""Characters of the longest bar."""
MAX_COMPARED = 2000
"""Newest ratings by which the gain of learning is told."""
SHOWN_ACTS = 20
"""Newest acts beside stars that are listed."""
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
    acts: int = 0
    """Acts beside stars that tell of it."""
    past: int = 0
    """Pictures with it, made before, whose fate tells of it."""


@dataclass(frozen=True)
class RatedMonth(Record):
    month: str
    """`2026-11`."""
    count: int
    mean: float
    """Stars."""


@dataclass(frozen=True)
class NoticedAct(Noticed):
    """An act beside stars, in words."""

    text: str = ""


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
    acts: tuple[NoticedAct, ...] = ()
    """Acts beside stars that count, newest first."""
    heeds_acts: bool = True
    past_liked: int = 0
    """Pictures made before, where these are read, that were kept, made larger, put among the best …"""
    past_disliked: int = 0
    """… and that were tried again or removed."""


ACTS = {
    Evidence.KEPT: "left {name} in the choice",
    Evidence.ADDED: "added {name}",
    Evidence.REMOVED: "took {name} out of the suggestions",
    Evidence.REWEIGHTED: "changed the strength of {name} from {offered}",
    Evidence.SETTING: "changed {name} from {offered}",
    Evidence.PICKED: "picked a picture, one of {of}",
    Evidence.SAVED: "saved a picture, one of {of}",
    Evidence.SCOUTED: "finished a scouted seed, one of {of}",
    Evidence.REROLLED: "tried again with another seed",
}
"""Act → words after “you”."""


def learned(
    registry: ModelRegistry,
    learning: LearningEngine,
    notes: Sequence[Reason] = (),
    pictures: PictureHistory | None = None,
) -> Learned:
    """Return what was learned from ratings, from acts beside them, and from pictures made before. Raises StorageError.

    Args:
        pictures: those made before; None: they tell nothing.
    """
    library, moves = library_of(registry, pictures), registry.moves()
    past: Sequence[PastPicture] = pictures.pictures(library.models, moves) if pictures else ()
    earlier = past_observations(past, learning.past_resets())
    preferences = learning.preferences({**moves, **library.by_digest}).after(earlier)
    model = preferences.model(library.taste_traits, library)
    names = {each.model_id: each.name for each in library.models}
    counts = learning.counts()
    liked = sum(one.stars > LEVEL for one in earlier)
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
        tuple(_in_words(one, names) for one in learning.signals.shown(SHOWN_ACTS)),
        learning.signals.on,
        liked,
        len(earlier) - liked,
    )


def learned_lines(found: Learned) -> list[str]:
    """Return what was learned as text with bars."""
    made = counted(found.generations, "picture or set of pictures made", "pictures or sets of pictures made")
    lines = [f"{counted(found.ratings, 'rating', 'ratings')}, {made}"]
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
    if found.past_liked or found.past_disliked:
        told = f"{found.past_liked} kept or made larger, {found.past_disliked} tried again or removed"
        lines += ["", f"Pictures made before: {told} (history forget takes them back)"]
    if not found.heeds_acts:
        lines += ["", "What you do beside stars counts for nothing (learned --acts on)"]
    elif found.acts:
        lines += ["", "Beside stars, the newest first (learned --drop NUMBER takes one back)"]
        lines += [f"  {one.number:>4}  you {one.text}" for one in found.acts]
    if found.loras:
        lines += ["", "LoRAs, the most liked first (learned --reset NAME takes one back)"]
        lines += [f"  {one.name}: {_effect(one)}{'' if one.installed else ' (not installed)'}" for one in found.loras]
    return lines


def _in_words(act: Noticed, names: dict[str, str]) -> NoticedAct:
    name = names.get(act.subject, act.subject.rpartition(":")[2])
    offered = act.offered.get("strength") if isinstance(act.offered, dict) else act.offered
    if isinstance(offered, list):
        offered = "x".join(map(str, offered))
    of = round(1 / act.propensity)
    return NoticedAct(**vars(act), text=ACTS[Evidence(act.kind)].format(name=name, offered=offered, of=of))


def _loras(model: ValueModel, names: dict[str, str]) -> list[LearnedLoRA]:
    stars: defaultdict[str, list[int]] = defaultdict(list)
    acts: Counter[str] = Counter()
    past: Counter[str] = Counter()
    for one in model.observations:
        for lora in _loras_of(one):
            if one.is_rating:
                stars[lora].append(round(one.stars))
            else:
                (past if one.evidence is Evidence.PAST else acts)[lora] += 1
    ids = list(dict.fromkeys((*stars, *acts, *past)))
    asked = [Applied(lora, expected=0.0, strength=model.last_strengths.get(lora)) for lora in ids]
    found = model.utilities(PromptTraits(object()), asked)
    return [
        LearnedLoRA(
            lora,
            names.get(lora, lora.partition(":")[2]),
            tuple(stars[lora][-SHOWN_STARS:]),
            len(stars[lora]),
            round(float(shift), 2),
            round(float(sd), 2),
            lora in names,
            acts[lora],
            past[lora],
        )
        for lora, shift, sd in zip(ids, found.shift, found.sd, strict=True)
    ]


def _loras_of(one: Observation) -> set[str]:
    return {used.lora for picture in (one.picture, one.other) if picture for used in picture.loras}


def _gain(gain: LearningGain) -> str:
    if not gain.known:
        return f"Gain of learning: not known yet ({gain.low:+.1f} to {gain.high:+.1f} stars a picture)"
    return f"Gain of learning: {gain.stars:+.1f} stars a picture ({gain.low:+.1f} to {gain.high:+.1f})"


def _effect(one: LearnedLoRA) -> str:
    stars = ", ".join(map(str, one.stars))
    acts = counted(one.acts, "act beside stars", "acts beside stars")
    past = counted(one.past, "picture made before", "pictures made before")
    others = [text for number, text in ((one.acts, acts), (one.past, past)) if number]
    told = (
        "no difference yet"
        if abs(one.effect) < CLEAR
        else f"{'liked' if one.effect > 0 else 'disliked'}, {one.effect:+.1f} stars"
    )
    stars = f"{'…, ' if one.count > len(one.stars) else ''}{stars}"
    return f"{told} ({'; '.join(filter(None, (stars, *others)))})"


def _numbered(counts: Sequence[int]) -> list[tuple[int, int]]:
    return list(reversed(list(enumerate(counts, 1))))


def _bar(count: int, counts: Sequence[int]) -> str:
    return ("█" * round(BAR_WIDTH * count / max(1, *counts))).ljust(BAR_WIDTH)
