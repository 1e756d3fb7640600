"""Made queries that look like users', for the decision which LoRAs a prompt asks for; see tests/tools/train_choice.py.

A query is a text, the records that it asks for, and hints for the library that it is asked of: which records should
stand in it (those it asks for, and hard negatives), and which must not. Kinds are named; each is a line of the table.
"""

from __future__ import annotations

from collections.abc import Callable

from intelligence.lora.search.naming import STRONG, NameSource
from intelligence.lora.search.tokens import is_common, is_meta, tokens
from intelligence.models import LoRAKind
from intelligence.prompt.clip_words import word_rank
from tests.benchmarks.choice_templates import (
    ASKS,
    HELD,
    LONG_TAILS,
    NEGATED,
    NOUNS,
    SPANISH_NEGATED,
    SPANISH_SCENES,
    SPANISH_TAILS,
)
from tests.benchmarks.choice_wanted import Wanted
from tests.benchmarks.choice_wording import EVERYDAY_RANK, USUAL_RANK, cased, is_look
from tests.benchmarks.choice_world import Made, World


class Maker(Wanted):
    """Makes queries of each kind: also those that want nothing, or not what they name."""

    def ordinary(self) -> Made | None:
        """Words that name somebody or some style, used as words."""
        number = self.rng.choice(
            self.world.kinds[self.rng.choice((LoRAKind.CHARACTER, LoRAKind.CHARACTER, LoRAKind.STYLE))]
        )
        word = self._part(number) if self.rng.random() < 0.4 else self.world.ordinary(number)
        if not word or is_look(word) or self.world.is_sort(number, word):
            return None
        if self.rng.random() < 0.2:
            tags, _ = self.world.base_tags(number)
            tags.insert(
                self.rng.randint(min(5, len(tags)), len(tags)),
                f"{word} {self.rng.choice(('ribbon', 'necklace', 'lamp', 'flowers', 'cup', 'theme'))}",
            )
            return Made("ordinary word", ", ".join(tags), near=(number,))
        text = self.within_caption(word) if self.rng.random() < 0.5 else self.within_template(word)
        if self.rng.random() < 0.4:
            text = f"{text}. {self.scene()}"
        near = tuple({number, *self.world.strong[word]})
        return Made("ordinary word", text, near=near, weight=6.6 if word_rank(word) < EVERYDAY_RANK else 1.5)

    def noun(self) -> Made | None:
        """The rare word that a style is called by, used as a noun."""
        number = self.rng.choice(self.world.kinds[LoRAKind.STYLE])
        words = [p[0] for s, p in self.world.names[number] if s in STRONG and len(p) == 1 and p[0].isalpha()]
        rare = [word for word in words if len(word) > 3 and word_rank(word) > USUAL_RANK and not is_look(word)]
        if not rare:
            return None
        word = self.rng.choice(rare)
        text = self.rng.choice(NOUNS).format(word)
        text = f"{text}. {self.scene()}" if self.rng.random() < 0.4 else text
        return Made("ordinary word", text[:1].upper() + text[1:], near=(number, *self.world.strong[word]))

    def _part(self, number: int) -> str:
        """An ordinary word of a longer name of a record, or of its series; empty where there is none."""
        sources = (*STRONG, NameSource.OTHER_PIECE)
        phrases = [phrase for source, phrase in self.world.names[number] if source in sources and len(phrase) > 1]
        words = [word for phrase in phrases for word in phrase if word.isalpha() and len(word) > 2]
        usual = [word for word in words if word_rank(word) < USUAL_RANK and not is_common(word) and not is_meta(word)]
        return self.rng.choice(usual) if usual else ""

    def gallery_absent(self) -> Made:
        number = self.rng.choice(list(self.world.gallery))
        query = self.rng.choice(self.world.gallery[number])
        return Made("gallery absent", query.prompt, (), (number,), tuple(self.world.hits(query.prompt) - {number}))

    def everyday(self) -> Made:
        query = self.rng.choice(self.world.captions)
        return Made("everyday", query.prompt, open=query.records, near=tuple(self.world.hits(query.prompt)))

    def everyday_long(self) -> Made:
        parts = [self.rng.choice(self.world.captions) for _ in range(self.rng.randint(2, 4))]
        text = " ".join([*(f"{query.prompt.rstrip('. ')}." for query in parts), *self.rng.sample(LONG_TAILS, 2)])
        return Made(
            "everyday long", text, open=tuple(n for q in parts for n in q.records), near=tuple(self.world.hits(text))
        )

    def everyday_tags(self) -> Made:
        tags, base = self.world.base_tags()
        text = ", ".join(tags[: self.rng.randint(4, 14)] if self.rng.random() < 0.5 else tags)
        return Made("everyday tags", text, absent=base.records, near=tuple(self.world.hits(text)))

    def held(self) -> Made | None:
        number, name = self.thing()
        if len(tokens(name)) > 1 or word_rank(tokens(name)[0]) > 30_000:
            return None
        if self.rng.random() < 0.5 or word_rank(name) > USUAL_RANK or is_look(name):
            return Made("held", self.rng.choice(HELD).format(self.scene(), name), near=(number,))
        words, place = self.noun_of_caption()
        words[place:place] = [name]
        return Made("held", " ".join(words), near=(number,))

    def sibling(self) -> Made | None:
        """A character of a series that the library has others of."""
        number, name = self.person()
        origin = self.world.origin(number)
        siblings = self.world.of_series.get("".join(tokens(origin)), []) if origin else []
        siblings = [n for n in siblings if n != number]
        if not siblings:
            return None
        if self.rng.random() < 0.5:
            tags, _ = self.world.base_tags(number)
            tags = tags[: self.rng.randint(4, 20)]
            said = self.rng.choice((rf"{name.lower()} \({origin.lower()}\)", f"{name.lower()}, {origin.lower()}"))
            tags.insert(self.rng.randint(0, 3), said)
            text = ", ".join(tags)
        else:
            text = self.rng.choice(ASKS).format(f"{cased(name, self.rng)} from {origin} {self.doing()}")
        near = tuple(self.rng.sample(siblings, min(len(siblings), 8)))
        if self.rng.random() < 0.3:
            return Made("sibling present", text, (number,), near=near)
        same = {
            n
            for key in {"".join(p) for s, p in self.world.names[number] if s in STRONG}
            for n in self.world.strong[key]
        }
        return Made("sibling", text, (), tuple(same | {number}), tuple(n for n in near if n not in same))

    def negated(self) -> Made:
        """Something that a prompt rules out."""
        number, name = self.rng.choice((self.thing, self.thing, self.style, self.person))()
        draw = self.rng.random()
        if draw < 0.35:
            text = self.rng.choice(NEGATED).format(self.scene(), name.lower())
        elif draw < 0.6:
            tags, _ = self.world.base_tags(number)
            tags = [tag for tag in tags[:12] if number not in self.world.hits(tag)]
            tags.insert(self.rng.randint(0, len(tags)), f"{self.rng.choice(('no', 'without', 'not'))} {name.lower()}")
            text = ", ".join(tags)
        else:
            scene = f"{self.rng.choice(SPANISH_SCENES)} {self.rng.choice(SPANISH_TAILS)}"
            text = self.rng.choice(SPANISH_NEGATED).format(scene, name.lower())
        return Made("negated", text, near=(number,))


KINDS: dict[str, int] = {
    "sentence": 1500,
    "long": 600,
    "spanish": 400,
    "partial": 400,
    "tags": 1700,
    "gallery": 1000,
    "gallery_absent": 1000,
    "gallery_bare": 200,
    "several": 600,
    "everyday": 1200,
    "everyday_long": 400,
    "everyday_tags": 700,
    "held": 500,
    "shown": 500,
    "series_style": 120,
    "sibling": 900,
    "misspelt": 250,
    "joined": 250,
    "paraphrase": 400,
    "ordinary": 2900,
    "noun": 150,
    "look": 300,
    "loose": 900,
    "generic": 2000,
}

"""Kind → queries that are made of it."""


def make(world: World, counts: dict[str, int], progress: Callable[[str], None] = lambda kind: None) -> list[Made]:
    """Return made queries of every kind."""
    maker, made = Maker(world), []
    for kind, count in counts.items():
        progress(kind)
        found: list[Made] = []
        while len(found) < count:
            if (one := getattr(maker, kind)()) is not None:
                found.append(one)
        made += found
    return made
