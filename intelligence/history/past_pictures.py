"""Pictures of the past as records, and the taste that shows in what became of each, without a star."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from pathlib import PurePath

from ..pictures.picture_info import UsedLoRA
from ..records import Record


class Mark(StrEnum):
    """Signs of liking or disliking."""

    FAVOURITE = "favourite"
    """It lies in a folder for the best ones, see `FAVOURITE_FOLDERS`."""
    UPSCALED = "upscaled"
    """It was made again, larger, from the same prompt and seed."""
    LAST = "last"
    """The last of several tries with one prompt."""
    REROLLED = "rerolled"
    """The same prompt was tried again with another seed, soon after."""
    REMOVED = "removed"
    """It was removed while another picture of its prompt stayed."""


SIGNALS = {Mark.FAVOURITE: 1.0, Mark.REMOVED: -0.7, Mark.UPSCALED: 0.6, Mark.LAST: 0.2, Mark.REROLLED: -0.1}
"""Mark → signal, the strongest first, which counts.

An order by how deliberate the act is, not measured: readers of these records learn what each is worth.
"""

FAVOURITE_FOLDERS = frozenset(
    (
        *("best", "keep", "keepers", "liked", "likes", "picks", "selected", "starred", "top"),
        *("favorite", "favorites", "favourite", "favourites", "favoriten", "favoris", "favoritos", "mejores"),
    )
)
"""Names of folders, in lower case."""

REROLL_SECONDS = 1800.0
"""Time within which another try is one of the same session."""
LARGER = 1.2
"""Ratio of pixels from which a picture of the same prompt and seed is an upscaled one."""


class Fate(StrEnum):
    """Presence of a picture's file."""

    THERE = "there"
    GONE = "gone"


@dataclass(frozen=True)
class PastPicture(Record):
    """A picture that the user made, as its metadata tells, with what became of it."""

    path: str
    program: str
    prompt: str = ""
    """Without LoRA tags; empty also where prompts are not kept."""
    negative_prompt: str = ""
    checkpoint: str = ""
    """As the program writes it."""
    loras: tuple[UsedLoRA, ...] = ()
    """Names as the program writes them; `PictureHistory.pictures` gives ids of this library's LoRAs."""
    settings: dict[str, int | float | str] = field(default_factory=dict)
    """As `PictureInfo.settings`."""
    made_at: float = 0.0
    """Seconds since 1970: the file's time of change."""
    fate: Fate = Fate.THERE
    prompt_key: str = ""
    """Equal for equal prompts."""
    marks: tuple[Mark, ...] = ()
    signal: float = 0.0
    """−1 (disliked) to 1 (liked), 0 where nothing tells; see `SIGNALS`."""


def marked(pictures: Sequence[PastPicture]) -> list[PastPicture]:
    """Return the pictures, in their order, with marks and signals."""
    by_prompt: dict[str, list[int]] = defaultdict(list)
    for place, picture in enumerate(pictures):
        if picture.prompt_key:
            by_prompt[picture.prompt_key].append(place)
    marks: dict[int, set[Mark]] = defaultdict(set)
    for places in by_prompt.values():
        _mark_tries(pictures, places, marks)
    for place, picture in enumerate(pictures):
        if FAVOURITE_FOLDERS.intersection(part.lower() for part in PurePath(picture.path).parts[-4:-1]):
            marks[place].add(Mark.FAVOURITE)
    return [_with_marks(picture, marks.get(place, ())) for place, picture in enumerate(pictures)]


def _mark_tries(pictures: Sequence[PastPicture], places: list[int], marks: Mapping[int, set[Mark]]) -> None:
    """Mark the pictures of one prompt."""
    places.sort(key=lambda place: pictures[place].made_at)
    some_stayed = any(pictures[place].fate is Fate.THERE for place in places)
    for place, following in zip(places, [*places[1:], None], strict=True):
        one = pictures[place]
        if one.fate is Fate.GONE and some_stayed:
            marks[place].add(Mark.REMOVED)
        if following is None:
            continue
        other = pictures[following]
        if other.made_at - one.made_at <= REROLL_SECONDS and _is_reroll(one, other):
            marks[place].add(Mark.REROLLED)
            marks[following].add(Mark.LAST)
    seeds: dict[object, list[int]] = defaultdict(list)
    for place in places:
        marks[place].discard(Mark.LAST if Mark.REROLLED in marks[place] else Mark.REROLLED)
        if (seed := pictures[place].settings.get("seed")) is not None:
            seeds[seed].append(place)
    for same in seeds.values():
        for place, later in pairwise(same):
            if _area(pictures[later]) > LARGER * _area(pictures[place]) > 0:
                marks[place].add(Mark.UPSCALED)


def _is_reroll(one: PastPicture, other: PastPicture) -> bool:
    """Return True if nothing but the seed differs."""
    ours, theirs = ({**each.settings, "seed": None} for each in (one, other))
    same = (one.checkpoint, one.loras, ours) == (other.checkpoint, other.loras, theirs)
    return same and one.settings.get("seed") != other.settings.get("seed")


def _area(picture: PastPicture) -> float:
    width, height = (picture.settings.get(name) for name in ("width", "height"))
    return float(width * height) if isinstance(width, int) and isinstance(height, int) else 0.0


def _with_marks(picture: PastPicture, marks: Iterable[Mark]) -> PastPicture:
    found = tuple(mark for mark in SIGNALS if mark in marks)
    return replace(picture, marks=found, signal=SIGNALS[found[0]]) if found else picture
