"""Made queries that want something; see choice_queries.py."""

from __future__ import annotations

from intelligence.lora.search.naming import STRONG
from intelligence.lora.search.tokens import is_common, is_meta, tokens
from intelligence.models import LoRAKind
from intelligence.prompt.clip_words import word_rank
from tests.benchmarks.choice_templates import (
    ASKS,
    LONG_HEADS,
    LONG_TAILS,
    MENTIONED,
    QUALITY,
    SPANISH_ASKS,
    SPANISH_SCENES,
    SPANISH_STYLED,
    SPANISH_TAILS,
    STYLED,
    TOGETHER,
    TWINS,
    WORN,
)
from tests.benchmarks.choice_wording import USUAL_RANK, Drawn, cased, in_two, is_look, lower_a, mentioned, typo
from tests.benchmarks.choice_world import Made
from tests.benchmarks.civitai import without_names


class Wanted(Drawn):
    """Makes queries of the kinds that want a record."""

    def sentence(self) -> Made:
        number, text = self.about()
        doubtful = self.world.by_number[number].model.lora_kind is LoRAKind.CHARACTER and self.world.ordinary(number)
        return Made("sentence", text + self.rng.choice(("", ".", "")), (number,), weight=0.3 if doubtful else 1.0)

    def look(self) -> Made | None:
        """A word for a look before what a scene shows, which asks for it."""
        number, name = self.style()
        words = [phrase[0] for source, phrase in self.world.names[number] if source in STRONG and len(phrase) == 1]
        looks = [word for word in words if is_look(word) and not is_common(word)]
        if not looks and not is_look(name.lower()):
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

    def gallery_bare(self) -> Made | None:
        number = self.rng.choice(list(self.world.gallery))
        query = without_names(self.rng.choice(self.world.gallery[number]), self.world.by_number)
        return query and Made(
            "gallery bare", query.prompt, (number,), near=tuple(self.world.hits(query.prompt)), known_as=query.known_as
        )

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

    def shown(self) -> Made:
        """A caption that shows what a LoRA is made for, somewhere in it."""
        number, name = self.thing()
        words, place = self.noun_of_caption()
        words[place] = name
        return Made("shown", " ".join(words), (number,), near=tuple(self.world.hits(" ".join(words))))

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
