"""Made queries that look like users', for the decision which LoRAs a prompt asks for; see tests/tools/train_choice.py.

A query is a text, the records that it asks for, and hints for the library that it is asked of: which records should
stand in it (those it asks for, and hard negatives), and which must not. Kinds are named; each is a line of the table.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from intelligence.lora.search.knowledge import Shown, shown_by
from intelligence.lora.search.naming import STRONG, NameSource
from intelligence.lora.search.tokens import is_common, is_meta, tokens
from intelligence.models import LoRAKind
from intelligence.prompt import ConceptCategory, load_vocabulary
from intelligence.prompt.clip_words import UNKNOWN_RANK, word_rank
from tests.benchmarks.choice_invented import Invented
from tests.benchmarks.choice_templates import (
    ASKS,
    HELD,
    LONG_HEADS,
    LONG_TAILS,
    MENTIONED,
    NEGATED,
    ORDINARY,
    QUALITY,
    SETTINGS,
    SPANISH_ASKS,
    SPANISH_NEGATED,
    SPANISH_SCENES,
    SPANISH_STYLED,
    SPANISH_TAILS,
    STYLED,
    STYLED_FIRST,
    TOGETHER,
    TWINS,
    WORN,
)
from tests.benchmarks.choice_world import Made, World
from tests.benchmarks.civitai import without_names

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


def _is_look(word: str) -> bool:
    """True for a word that asks for a look wherever it stands, as `steampunk` does."""
    meaning = load_vocabulary().english.get((word,))
    return meaning is not None and (bool(meaning.styles) or meaning.category is ConceptCategory.STYLE)


def _is_thing(word: str) -> bool:
    """True for a word that names a thing, a place, a garment, an animal or a person."""
    (token, *_) = tokens(word) or ("",)
    return shown_by().get(token, Shown.UNKNOWN) >= Shown.GARMENT


class Maker:
    """Makes queries of each kind."""

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

    # --- sentences
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

    def sentence(self) -> Made:
        number, text = self.about()
        doubtful = self.world.by_number[number].model.lora_kind is LoRAKind.CHARACTER and self.world.ordinary(number)
        return Made("sentence", text + self.rng.choice(("", ".", "")), (number,), weight=0.3 if doubtful else 1.0)

    def ordinary(self) -> Made | None:
        """Words that name somebody or some style, used as words."""
        number = self.rng.choice(
            self.world.kinds[self.rng.choice((LoRAKind.CHARACTER, LoRAKind.CHARACTER, LoRAKind.STYLE))]
        )
        word = self._part(number) if self.rng.random() < 0.4 else self.world.ordinary(number)
        if not word or _is_look(word) or self.world.is_sort(number, word):
            return None
        if self.rng.random() < 0.2:
            tags, _ = self.world.base_tags(number)
            tags.insert(
                self.rng.randint(min(5, len(tags)), len(tags)),
                f"{word} {self.rng.choice(('ribbon', 'necklace', 'lamp', 'flowers', 'cup', 'theme'))}",
            )
            return Made("ordinary word", ", ".join(tags), near=(number,))
        text = self._within_caption(word) if self.rng.random() < 0.5 else self._within_template(word)
        if self.rng.random() < 0.4:
            text = f"{text}. {self.scene()}"
        near = tuple({number, *self.world.strong[word]})
        return Made("ordinary word", text, near=near, weight=6.6 if word_rank(word) < EVERYDAY_RANK else 1.5)

    def _part(self, number: int) -> str:
        """An ordinary word of a longer name of a record, or of its series; empty where there is none."""
        sources = (*STRONG, NameSource.OTHER_PIECE)
        phrases = [phrase for source, phrase in self.world.names[number] if source in sources and len(phrase) > 1]
        words = [word for phrase in phrases for word in phrase if word.isalpha() and len(word) > 2]
        usual = [word for word in words if word_rank(word) < USUAL_RANK and not is_common(word) and not is_meta(word)]
        return self.rng.choice(usual) if usual else ""

    def look(self) -> Made | None:
        """A word for a look before what a scene shows, which asks for it."""
        number, name = self.style()
        words = [phrase[0] for source, phrase in self.world.names[number] if source in STRONG and len(phrase) == 1]
        looks = [word for word in words if _is_look(word) and not is_common(word)]
        if not looks and not _is_look(name.lower()):
            return None
        word = self.rng.choice(looks) if looks else name.lower()
        if self.rng.random() < 0.3:
            tags, _ = self.world.base_tags(number)
            text = ", ".join((f"{word} {tags[0]}", *tags[1 : self.rng.randint(3, 12)]))
        else:
            subject = self.rng.choice(("inventor", "city", "girl", "knight", "house", "airship", "landscape", "room"))
            text = f"{lower_a(word)} {subject} {self.doing()}".capitalize()
        return Made("look", text, (number,), near=tuple(self.world.strong[word]), open=tuple(self.world.strong[word]))

    def series_style(self) -> Made:
        """The style of a series, asked for by the name of the series."""
        numbers = [n for n in self.world.kinds[LoRAKind.STYLE] if self.world.is_series(self.world.spoken(n))]
        number = self.rng.choice(numbers)
        said = cased(self.world.spoken(number), self.rng)
        said = said if said.lower().endswith("style") else f"{said} style"
        if self.rng.random() < 0.35:
            tags, _ = self.world.base_tags(number)
            tags.insert(self.rng.randint(0, 3), said.lower())
            return Made("series style", ", ".join(tags[:20]), (number,))
        forms = (
            "{}, {}",
            "{} in {}",
            "{1}, {0}",
            "{1}: {0}",
            "{}, drawn in {}",
            "A {1} picture of {0}",
            "{1} drawing of {0}",
        )
        return Made("series style", self.rng.choice(forms).format(self.scene(), said), (number,))

    def _within_template(self, word: str) -> str:
        template = self.rng.choice(ORDINARY)
        return template.format(word.title() if template.startswith("{") or self.rng.random() < 0.1 else word)

    def _within_caption(self, word: str) -> str:
        """A caption in which it takes the place of another word."""
        words = self.rng.choice(self.world.captions).prompt.strip().split()
        places = [n for n, w in enumerate(words) if w.isalpha() and len(w) > 3 and not is_common(w.lower())] or [0]
        place = self.rng.choice(places)
        words[place] = word if place else word.title()
        return " ".join(words)

    def loose(self) -> Made | None:
        """The words of a name, but not as it has them."""
        number, name = self.rng.choice((self.person, self.style, self.thing, self.thing))()
        words = name.split()
        if len(words) < 2 or sum(word_rank(w.lower()) > 3000 for w in words) < 1:
            return None
        draw = self.rng.random()
        if draw < 0.3:
            at = self.rng.randrange(1, len(words))
            words.insert(
                at, self.rng.choice(("colored", "little", "S.", "huge", "old", "kind of", "the", "and", "big", "wet"))
            )
            said = " ".join(words)
        elif draw < 0.5 and len(words) == 2:
            said = f"{words[1]} {self.rng.choice(('of', 'with', 'in', 'full of', 'made of'))} {words[0]}"
        else:
            most = 1 if self.rng.random() < 0.4 else max(1, len(words) - 1)
            telling = sorted(words, key=lambda w: -word_rank(w.lower()))[:most]
            if word_rank(telling[0].lower()) < USUAL_RANK:
                return None
            said = " ".join(w for w in words if w in telling)
        kind = self.world.by_number[number].model.lora_kind
        if kind is LoRAKind.STYLE:
            text = self.rng.choice(STYLED).format(self.scene(), said)
        elif self.rng.random() < 0.25:
            tags, _ = self.world.base_tags(number)
            tags.insert(self.rng.randint(0, 3), said.lower())
            text = ", ".join(tags[:25])
        else:
            text = self.rng.choice(ASKS).format(
                f"{said if kind is LoRAKind.CHARACTER else lower_a(said)} {self.doing()}"
            )
        return Made("loose", text, (number,), near=tuple(self.world.hits(text)))

    def long(self) -> Made:
        number, text = self.about()
        text = text.rstrip("?")
        more = [
            self.rng.choice(LONG_TAILS) if self.rng.random() < 0.6 else self.scene() + "."
            for _ in range(self.rng.randint(2, 5))
        ]
        head = self.rng.choice(LONG_HEADS).format(text[:1].lower() + text[1:] if text[:2] in ("A ", "An") else text)
        if self.rng.random() < 0.3:
            more.insert(self.rng.randrange(len(more)), head)
            return Made("long", " ".join(more), (number,))
        return Made("long", " ".join((head, *more)), (number,))

    def spanish(self) -> Made:
        rng = self.rng
        if rng.random() < 0.6:
            number, name = self.person()
            return Made(
                "spanish", f"{rng.choice(SPANISH_ASKS).format(cased(name, rng))} {rng.choice(SPANISH_TAILS)}", (number,)
            )
        number, name = self.style()
        return Made(
            "spanish",
            rng.choice(SPANISH_STYLED).format(
                f"{rng.choice(SPANISH_SCENES)} {rng.choice(SPANISH_TAILS)}", cased(name, rng)
            ),
            (number,),
        )

    def partial(self) -> Made | None:
        number, name = self.person()
        words = [w for w in name.split() if word_rank(w.lower()) > 20_000]
        if len(name.split()) < 2 or not words:
            return None
        said = self.rng.choice(words)
        if self.rng.random() < 0.5:
            return Made("partial", self.rng.choice(ASKS).format(f"{said.title()} {self.doing()}"), (number,))
        tags, _ = self.world.base_tags(number)
        tags.insert(self.rng.randint(0, 3), said.lower())
        return Made("partial", ", ".join(tags), (number,))

    # --- tags
    def tags(self) -> Made | None:
        number = self.rng.choice(
            self.rng.choice([self.world.kinds[k] for k in (LoRAKind.CHARACTER, LoRAKind.STYLE, LoRAKind.CONCEPT)])
        )
        name = self.world.spoken(number).lower()
        if self.world.by_number[number].model.lora_kind is LoRAKind.STYLE and self.rng.random() < 0.5:
            name = f"{self.rng.choice((name, *self.world.aliases(number))).lower().removesuffix(' style')} style"
        called = self.world.trigger(number) if self.rng.random() < 0.4 else name
        if not called:
            return None
        origin = self.world.origin(number)
        if called is name and origin and self.rng.random() < 0.4:
            called = rf"{name} \({origin.lower()}\)"
        if self.rng.random() < 0.25:
            called = f"({called}:1.2)" if "(" not in called else called
        if self.rng.random() < 0.15:
            called = called.replace(" ", "_")
        tags, _ = self.world.base_tags(number)
        head = [tag for tag in self.rng.choice(QUALITY).split(", ") if tag]
        tags = tags[: self.rng.randint(2, 12) if self.rng.random() < 0.65 else self.rng.randint(12, 30)]
        tags.insert(self.rng.randint(0, min(len(tags), 4)), called)
        return Made("tags", ", ".join((*head, *tags)), (number,), near=tuple(self.world.hits(", ".join(tags))))

    def gallery(self) -> Made:
        number = self.rng.choice(list(self.world.gallery))
        query = self.rng.choice(self.world.gallery[number])
        return Made(
            "gallery", query.prompt, (number,), near=tuple(self.world.hits(query.prompt)), known_as=query.prompt
        )

    def gallery_absent(self) -> Made:
        number = self.rng.choice(list(self.world.gallery))
        query = self.rng.choice(self.world.gallery[number])
        return Made("gallery absent", query.prompt, (), (number,), tuple(self.world.hits(query.prompt) - {number}))

    def gallery_bare(self) -> Made | None:
        number = self.rng.choice(list(self.world.gallery))
        query = without_names(self.rng.choice(self.world.gallery[number]), self.world.by_number)
        return query and Made(
            "gallery bare", query.prompt, (number,), near=tuple(self.world.hits(query.prompt)), known_as=query.known_as
        )

    # --- several
    def several(self) -> Made:
        rng = self.rng
        (one, first), (two, second) = self.person(), self.person()
        numbers = [one, two]
        draw = rng.random()
        if draw < 0.4:
            acting = rng.choice((self.doing(), *TOGETHER))
            text = f"{cased(first, rng)} and {cased(second, rng)} {acting}"
        elif draw < 0.6:
            three, style = self.style()
            numbers = [one, three]
            text = rng.choice(STYLED).format(f"{cased(first, rng)} {self.doing()}", cased(style, rng))
        elif draw < 0.75:
            three, third = self.thing()
            numbers = [one, three]
            text = f"{cased(first, rng)} {rng.choice(WORN).format(third)} {self.doing()}"
        else:
            tags, _ = self.world.base_tags()
            tags = tags[: rng.randint(4, 15)]
            called = [first.lower(), second.lower()]
            if rng.random() < 0.5:
                three, style = self.style()
                numbers, called = [one, three], [first.lower(), f"{style.lower()} style"]
            for name in called:
                tags.insert(rng.randint(0, 3), name)
            text = ", ".join(tags)
        return Made("several", text, tuple(dict.fromkeys(numbers)))

    # --- nothing wanted
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
        if self.rng.random() < 0.5 or word_rank(name) > USUAL_RANK or _is_look(name):
            return Made("held", self.rng.choice(HELD).format(self.scene(), name), near=(number,))
        words, place = self._noun_of_caption()
        words[place:place] = [name]
        return Made("held", " ".join(words), near=(number,))

    def shown(self) -> Made:
        """A caption that shows what a LoRA is made for, somewhere in it."""
        number, name = self.thing()
        words, place = self._noun_of_caption()
        words[place] = name
        return Made("shown", " ".join(words), (number,), near=tuple(self.world.hits(" ".join(words))))

    def _noun_of_caption(self) -> tuple[list[str], int]:
        """The words of a caption, and the place of one that names a thing and belongs to no other."""
        while True:
            words = self.rng.choice(self.world.captions).prompt.strip(" .").split()
            things = [word.isalpha() and _is_thing(word) for word in words]
            alone = [
                n
                for n, thing in enumerate(things)
                if thing and not (things[n - 1 : n] + things[n + 1 : n + 2]).count(True)
            ]
            if alone:
                return words, self.rng.choice(alone)

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

    # --- spelling
    def misspelt(self) -> Made | None:
        number, name = self.rng.choice((self.person, self.style))()
        wrong = typo(name, self.rng)
        if wrong is None:
            return None
        return self._spelt("typo", number, wrong)

    def joined(self) -> Made | None:
        """Two words of a name written as one, or one as two."""
        if self.rng.random() < 0.4:
            number = self.rng.choice(self.rng.choice([*self.world.kinds.values()]))
            words = [phrase[0] for source, phrase in self.world.names[number] if source in STRONG and len(phrase) == 1]
            apart = [split for word in words if (split := in_two(word))]
            return self._spelt("joined", number, self.rng.choice(apart)) if apart else None
        number, name = self.rng.choice((self.person, self.style, self.thing))()
        words = name.split()
        if len(words) != 2:
            return None
        return self._spelt("joined", number, "".join(words))

    def _spelt(self, kind: str, number: int, name: str) -> Made:
        if self.rng.random() < 0.5:
            return Made(kind, self.rng.choice(ASKS).format(f"{name} {self.doing()}"), (number,))
        tags, _ = self.world.base_tags(number)
        tags = tags[: self.rng.randint(4, 15)]
        tags.insert(self.rng.randint(0, 3), name.lower())
        return Made(kind, ", ".join(tags), (number,))

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

    def twin(self) -> Made:
        """The same record asked for in English and then in Spanish."""
        if self.pending:
            return self.pending.pop()
        number, name = self.rng.choice((self.person, self.style))()
        said = cased(name, self.rng)
        english, spanish = self.rng.choice(TWINS)
        self.pending.append(Made("twin Spanish", spanish.format(said), (number,)))
        return Made("twin English", english.format(said), (number,))

    def generic(self) -> Made:
        """A small library of looks and effects, asked in everyday words."""
        group = self.rng.choice(self.world.groups)
        one = self.rng.choice(group)
        lora, phrase, kin, kind = one
        if self.rng.random() < 0.3:
            tags, _ = self.world.base_tags()
            text = self.scene() if self.rng.random() < 0.6 else ", ".join(tags[:20])
            return Made("generic none", text, near=(lora.number,), open=mentioned(text, group))
        if kin and lora.model.tags and self.rng.random() < 0.3:
            part = self.rng.choice(phrase.split())
            text = self.rng.choice(("{1}, {0}, {2} lighting", "{1} {2} portrait, {0}", "{0}, {1}, {2}")).format(
                self.scene(), kin, part
            )
        elif kind is LoRAKind.STYLE:
            forms = (*STYLED, "{1} girl {2}", "{1} girl, {0}", "{1} portrait, {0}", "1girl, {1}, {0}", "{1} {0}")
            text = self.rng.choice(forms).format(self.scene(), phrase, self.doing())
        elif kind is LoRAKind.EFFECT:
            noun = self.rng.choice(
                ("powers", "effects", "around her hands", "everywhere", "in the air", "behind him", "")
            )
            said = f"{phrase} {noun}".strip()
            text = self.rng.choice(("{}, {}", "{} with {}", "{} and {}")).format(self.scene(), said)
        else:
            said = self.rng.choice((phrase, lower_a(phrase), lower_a(phrase)))
            text = self.rng.choice(ASKS).format(f"{said} {self.doing()}")
            if self.rng.random() < 0.25:
                tags = self.world.base_tags()[0][: self.rng.randint(3, 12)]
                tags.insert(self.rng.randint(0, len(tags)), phrase)
                text = ", ".join(tags)
            elif self.rng.random() < 0.7:
                text = self.rng.choice(MENTIONED).format(said, self.rng.choice((self.doing(), self.scene())))
        others = tuple(number for number in mentioned(text, group) if number != lora.number)
        return Made("generic", text, (lora.number,), open=others, weight=2.1)

    def paraphrase(self) -> Made | None:
        """Tags of the page and words that its example prompts share, none of which names it."""
        number = self.rng.choice(
            self.rng.choice([self.world.kinds[LoRAKind.CONCEPT], self.world.kinds[LoRAKind.STYLE]])
        )
        model = self.world.by_number[number].model
        own = {t for s, p in self.world.names[number] if s in STRONG for t in p}
        tags = [
            tag
            for tag in model.tags
            if not own.intersection(tokens(tag)) and not all(is_common(t) or is_meta(t) for t in tokens(tag))
        ]
        if len(tags) < 2:
            return None
        said = self.rng.sample(tags, min(len(tags), self.rng.randint(2, 4)))
        ask, tail = self.rng.choice(ASKS), self.rng.choice(LONG_TAILS).lower()
        text = f"{ask.format(said[0])} with {' and '.join(said[1:])}, {tail}"
        return Made("paraphrase", text, (number,), near=tuple(self.world.hits(text)), weight=0.25)


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
