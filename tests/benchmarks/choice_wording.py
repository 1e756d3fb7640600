"""Names, scenes and words drawn from the records, which made queries are put together from; see choice_queries.py."""

from __future__ import annotations

import random

from intelligence.lora.search.knowledge import Shown, shown_by
from intelligence.lora.search.tokens import is_common, tokens
from intelligence.models import LoRAKind
from intelligence.prompt import ConceptCategory, load_vocabulary
from intelligence.prompt.clip_words import UNKNOWN_RANK, word_rank
from tests.benchmarks.choice_invented import Invented
from tests.benchmarks.choice_templates import (
    ASKS,
    ORDINARY,
    SETTINGS,
    STYLED,
    STYLED_FIRST,
    WORN,
)
from tests.benchmarks.choice_world import Made, World

EVERYDAY_RANK = 3_000
"""Rank below which everybody uses a word."""
USUAL_RANK = 16_000
"""Rank below which a word is ordinary, even within a name."""


def lower_a(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def cased(name: str, rng: random.Random) -> str:
    return name.title() if rng.random() < 0.7 else name.lower()


def typo(name: str, rng: random.Random) -> str | None:
    """The name with one slip in a long word that no dictionary has."""
    words = name.split()
    places = [n for n, w in enumerate(words) if len(w) >= 6 and word_rank(w.lower()) >= UNKNOWN_RANK and w.isalpha()]
    if not places:
        return None
    place = rng.choice(places)
    word, at = words[place], rng.randrange(1, len(words[place]) - 1)
    other = rng.choice("aeinorstlm")
    words[place] = rng.choice(
        (
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + word[at + 1 :],
            word[:at] + other + word[at + 1 :],
            word[:at] + word[at] + word[at:],
        )
    )
    return " ".join(words) if words[place] != word else None


def in_two(word: str) -> str:
    """A word that no dictionary has as two that one has; empty where it is not made of two."""
    if len(word) < 8 or word_rank(word) < 12_000:
        return ""
    parts = [(word[:at], word[at:]) for at in range(3, len(word) - 2)]
    ranked = [(max(map(word_rank, part)), part) for part in parts]
    rank, part = min(ranked)
    return " ".join(part) if rank < 15_000 else ""


def mentioned(text: str, group: list[Invented]) -> tuple[int, ...]:
    """Records of a group of whose words the text has any."""
    words = set(tokens(text))
    return tuple(one.lora.number for one in group if words.intersection(tokens(one.phrase)))


def is_look(word: str) -> bool:
    """True for a word that asks for a look wherever it stands, as `steampunk` does."""
    meaning = load_vocabulary().english.get((word,))
    return meaning is not None and (bool(meaning.styles) or meaning.category is ConceptCategory.STYLE)


def is_thing(word: str) -> bool:
    """True for a word that names a thing, a place, a garment, an animal or a person."""
    (token, *_) = tokens(word) or ("",)
    return shown_by().get(token, Shown.UNKNOWN) >= Shown.GARMENT


class Drawn:
    """Records of a world and words about them, drawn at random."""

    def __init__(self, world: World) -> None:
        self.world, self.rng = world, world.rng
        self.pending: list[Made] = []

    def person(self) -> tuple[int, str]:
        number = self.rng.choice(self.world.kinds[LoRAKind.CHARACTER])
        return number, self.world.spoken(number)

    def thing(self) -> tuple[int, str]:
        number = self.rng.choice(self.world.kinds[LoRAKind.CONCEPT])
        return number, self.world.spoken(number).lower()

    def style(self) -> tuple[int, str]:
        number = self.rng.choice(self.world.kinds[LoRAKind.STYLE])
        return number, self.rng.choice((self.world.spoken(number), *self.world.aliases(number)))

    def scene(self) -> str:
        return self.rng.choice(self.world.scenes)

    def doing(self) -> str:
        return self.rng.choice(self.world.subjects)

    def about(self) -> tuple[int, str]:
        """A record and a sentence that asks for it by name."""
        draw, rng = self.rng.random(), self.rng
        if draw < 0.45:
            number, name = self.person()
            origin = self.world.origin(number)
            said = cased(name, rng)
            if origin and rng.random() < 0.5:
                said = rng.choice((f"{said} from {origin}", f"{said} of {origin}", f"{said} ({origin})"))
            return number, rng.choice(ASKS).format(f"{said} {self.doing()}")
        if draw < 0.75:
            number, name = self.style()
            said = cased(name, rng)
            if rng.random() < 0.65:
                return number, rng.choice(STYLED).format(self.scene(), said)
            scene = self.scene()
            return number, rng.choice(STYLED_FIRST).format(said, scene[:1].lower() + scene[1:])
        number, name = self.thing()
        if rng.random() < 0.5:
            who = rng.choice(("A woman", "A young girl", "A man", "An old man", "A knight", "A dancer"))
            return number, f"{who} {rng.choice(WORN).format(rng.choice((name, lower_a(name))))} {self.doing()}"
        if rng.random() < 0.3:
            return number, rng.choice(SETTINGS).format(name, self.doing())
        text = rng.choice(ASKS).format(f"{rng.choice((name, lower_a(name)))} {self.doing()}")
        return number, text[:1].upper() + text[1:]

    def within_template(self, word: str) -> str:
        template = self.rng.choice(ORDINARY)
        return template.format(word.title() if template.startswith("{") or self.rng.random() < 0.1 else word)

    def within_caption(self, word: str) -> str:
        """A caption in which it takes the place of another word."""
        words = self.rng.choice(self.world.captions).prompt.strip().split()
        places = [n for n, w in enumerate(words) if w.isalpha() and len(w) > 3 and not is_common(w.lower())] or [0]
        place = self.rng.choice(places)
        words[place] = word if place else word.title()
        return " ".join(words)

    def noun_of_caption(self) -> tuple[list[str], int]:
        """The words of a caption, and the place of one that names a thing and belongs to no other."""
        while True:
            words = self.rng.choice(self.world.captions).prompt.strip(" .").split()
            things = [word.isalpha() and is_thing(word) for word in words]
            alone = [
                n
                for n, thing in enumerate(things)
                if thing and not (things[n - 1 : n] + things[n + 1 : n + 2]).count(True)
            ]
            if alone:
                return words, self.rng.choice(alone)
