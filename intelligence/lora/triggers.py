"""The trigger words that a LoRA needs and a prompt lacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import NamedTuple

from ..models import ModelMetadata
from ..prompt import PromptAnalysis, parse, strip_lora_tags, user_vocabulary, wanted_text
from ..prompt.vocabulary import Vocabulary
from ..prompt.words import fold, singular
from .search.tokens import is_common, is_everyday, is_meta, tokens

MAX_WORDS = 8
"""Of one trigger set: more would drown the prompt."""
MAX_CHARACTERS = 200
"""Of one trigger phrase."""
MAX_WEIGHT = 1.5
"""The most attention that a trigger phrase may ask for by itself."""
MIN_NAMES = 3
"""Trigger sets with names of several words each that make a pack of characters."""
MAX_EXPLICIT_WORDS = 3
"""Words of the longest phrase in the list of explicit words that is looked for."""

_WEIGHTED = re.compile(r"\(+([^()]+?):\s*(\d*\.?\d+)\s*\)+")
_PARENTHESIS = re.compile(r"(?<!\\)([()])")
_POSSESSIVE = re.compile(r"['’]s\b")
_UNIT = re.compile(r"[^\W_]+|[,.;:!?\n|\"]")
_SEPARATOR = re.compile(r"[,.;!?\n|()]+")
_SYNTAX = re.compile(r"[<>()\[\]{}\\]")
_COLOURED = (("hair",), ("eye",))
"""Parts of a person that have one colour."""

Key = tuple[str, ...]
"""Tokens of a phrase."""


class TriggerWords(NamedTuple):
    """The trigger words of a LoRA that a prompt lacks."""

    missing: tuple[str, ...] = ()
    """Phrases that the LoRA needs, ready to be written into the prompt."""
    left_out: tuple[str, ...] = ()
    """Phrases of the same set that would bring in something that the prompt does not ask for."""
    set_name: str = ""
    """Phrases that the used set has for itself, of several sets; empty: there is one, or none was used."""


Liked = Callable[[Sequence[str], str], str]
"""(names of the sets, name of the usual one) → name of the one that the user likes best; empty: what all share."""


class PromptText:
    """Text of a prompt, in which phrases are looked for.

    Args:
        text: a prompt as it is encoded, without LoRA tags.
    """

    def __init__(self, text: str) -> None:
        self._read(plain_text(text))

    @classmethod
    def of(cls, analysis: PromptAnalysis) -> PromptText:
        """The text that a prompt wants, and what it or the negative prompt does not want."""
        found = cls.__new__(cls)
        found._read(wanted_text(analysis))
        weightless = (segment.text for segment in analysis.segments if segment.weight <= 0)
        found._unwanted = tuple(_keys((analysis.unwanted_text, *weightless)))
        return found

    def _read(self, plain: str) -> None:
        self._text, self._units = plain.casefold(), _units(plain)
        self._keys = tuple(_keys([plain]))
        self._unwanted: tuple[Key, ...] = ()

    def contains(self, phrase: str) -> bool:
        """Return whether the prompt has the phrase in one piece, as it is written but for case, plurals and `_`."""
        letters, units = _spelt(phrase)
        if letters and _stands_apart(letters, self._text):
            return True
        return bool(units) and f" {units} " in self._units

    def is_unwanted(self, key: Key) -> bool:
        """Return whether the phrase is of a kind that the prompt does not want: the `witch hat` of `no hat`."""
        return any(key[-len(other) :] == other or other == key for other in self._unwanted)

    def is_explicit_beyond(self, key: Key) -> bool:
        """Return whether a phrase holds explicit words that the prompt does not: not those of an innocent phrase, such
        as `blood moon`."""
        innocent = _named_in([key], self.listed("innocent_words"))
        found = _named_in([key], self.listed("explicit_words"))
        explicit = {word for word in found if not any(word == other or _is_part(word, other) for other in innocent)}
        return not all(map(self.asks_for, explicit))

    def asks_for(self, key: Key) -> bool:
        """Return whether the words stand together in the prompt, in any form of theirs."""
        return any(key == piece[at : at + len(key)] for piece in self._keys for at in range(len(piece)))

    def parts_of(self, key: Key) -> int:
        """Return how many rare words of a name the prompt has: the Nozomi of `tojo nozomi`."""
        return sum(_is_rare(token) and any(token in piece for piece in self._keys) for token in key)

    @cached_property
    def garments(self) -> frozenset[Key]:
        """The clothes that the prompt names."""
        return _named_in(self._keys, self.clothes)

    @cached_property
    def colours(self) -> frozenset[Key]:
        """The parts of a person whose colour the prompt names."""
        return frozenset(part for piece in self._keys for part in _COLOURED if self.has_colour(piece, part))

    @cached_property
    def clothes(self) -> frozenset[Key]:
        """The vocabulary's clothes."""
        return self.listed("garments") | self.listed("whole_outfits")

    def has_colour(self, key: Key, part: Key) -> bool:
        """Return whether a phrase gives the part a colour: `black hair`."""
        at = next((at for at in range(len(key)) if key[at : at + len(part)] == part), 0)
        return bool(at) and not {(word,) for word in key[:at]}.isdisjoint(self.listed("colours"))

    def listed(self, name: str) -> frozenset[Key]:
        """The phrases of one of the vocabulary's lists, the user's own among them, as tokens."""
        return self._vocabulary.phrases_of(name, tokens)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return user_vocabulary()


def _stands_apart(letters: str, text: str) -> bool:
    """Return whether letters stand in a text and no word goes on before or behind them."""
    start = text.find(letters)
    while start >= 0:
        before, after = text[start - 1 : start] if start else "", text[start + len(letters) :][:1]
        if not any(one.isalnum() or one == "_" for one in (before, after)):
            return True
        start = text.find(letters, start + 1)
    return False


def plain_text(text: str) -> str:
    """Return `text` without its attention weights and escapes."""
    return "".join(segment.text for segment in parse(text).segments) if _SYNTAX.search(text) else text


@lru_cache(maxsize=8000)
def _spelt(phrase: str) -> tuple[str, str]:
    """A phrase in small letters, and its units without what parts it from others."""
    plain = plain_text(phrase)
    return plain.casefold(), _units(plain).strip(' ,.;:!?\n|"()[]{}')


def _units(plain: str) -> str:
    """The folded words of a text, in the singular, and its separators, each between blanks."""
    return f" {' '.join(map(singular, _UNIT.findall(_POSSESSIVE.sub('', fold(plain)))))} "


def _keys(texts: Iterable[str]) -> Iterator[Key]:
    """The tokens of each piece of some texts, unless they say nothing of what is shown."""
    pieces = (tokens(piece) for text in texts for piece in _SEPARATOR.split(text))
    return (key for key in pieces if not all(map(is_meta, key)))


def choose_words(model: ModelMetadata, text: PromptText, liked: Liked = lambda names, usual: usual) -> TriggerWords:
    """Return the phrases that this LoRA needs and the prompt lacks.

    Of several trigger sets, those whose own phrases the prompt has (all of them in a pack of several characters, else
    the best); where it has none of their own, what all sets share (no outfit that was not asked for); where they share
    nothing, the first set with a telling phrase, but nobody of a pack. Of these phrases those are left out that the
    prompt does not want, clothes and colours where it names others, and explicit ones that it does not name.

    Args:
        liked: asked where the prompt has nothing of any set.
    """
    outfit = _Outfit(model, text)
    missing: dict[Key, str] = {}
    left_out: list[str] = []
    needed, set_name = _needed(model, text, liked)
    for key, phrase in needed.items():
        if text.contains(phrase):
            continue
        if outfit.is_left_out(key):
            left_out.append(phrase)
        else:
            missing[key] = phrase
    kept = [phrase for key, phrase in missing.items() if not any(_is_part(key, other) for other in missing)]
    return TriggerWords(tuple(kept[:MAX_WORDS]), tuple(left_out), set_name)


def set_of(model: ModelMetadata, words: Iterable[str]) -> str:
    """Return the name of the set of trigger words that given ones are from; empty: of none alone."""
    sets = [found for trigger in model.trigger_sets if (found := _phrases(trigger.words))]
    given = {tokens(plain_text(word)) for word in words}
    own = [(number, len(given & _own(sets, number).keys())) for number in range(len(sets))] if len(sets) > 1 else []
    number, shared = max(own, key=lambda one: one[1], default=(0, 0))
    return _name(_own(sets, number)) if shared else ""


def _needed(model: ModelMetadata, text: PromptText, liked: Liked) -> tuple[Mapping[Key, str], str]:
    sets = [phrases for trigger in model.trigger_sets if (phrases := _phrases(trigger.words))]
    if len(sets) < 2:
        return (sets[0] if sets else {}), ""
    names = [_name(_own(sets, number)) for number in range(len(sets))]
    found, is_asked = _asked(model, sets, text)
    usual = names[found] if isinstance(found, int) else ""
    options = [name for name in dict.fromkeys(names) if name] + [""] * bool(_core(sets))
    wanted = usual if is_asked else liked(options, usual)
    if wanted != usual:
        return sets[names.index(wanted)] if wanted else _core(sets), wanted
    return (sets[found] if isinstance(found, int) else found), usual


def _core(sets: Sequence[Mapping[Key, str]]) -> dict[Key, str]:
    """The phrases that all sets share."""
    return {key: phrase for key, phrase in sets[0].items() if all(key in phrases for phrases in sets)}


def _own(sets: Sequence[Mapping[Key, str]], number: int) -> dict[Key, str]:
    core = _core(sets)
    return {key: phrase for key, phrase in sets[number].items() if key not in core}


def _name(phrases: Mapping[Key, str]) -> str:
    return ", ".join(phrases.values())[:MAX_CHARACTERS]


def _asked(
    model: ModelMetadata, sets: Sequence[Mapping[Key, str]], text: PromptText
) -> tuple[int | Mapping[Key, str], bool]:
    """Return the number of the set that the prompt asks for, or phrases, and whether it asks for these at all."""
    title = _title(model)
    core, own = _core(sets), [_own(sets, number) for number in range(len(sets))]
    matched = [{key for key, phrase in phrases.items() if text.contains(phrase)} for phrases in own]
    telling = [{key for key in phrases if _is_telling(key, title)} for phrases in own]
    is_pack = _is_pack(telling, title)
    named = [number for number, keys in enumerate(matched) if keys & telling[number]]
    if named and is_pack:
        return {key: phrase for number in named for key, phrase in sets[number].items()}, True
    if named:
        return max(named, key=lambda number: (len(matched[number] & telling[number]), len(matched[number]))), True
    partly = [max(map(text.parts_of, keys), default=0) for keys in telling]
    if any(partly):
        return partly.index(max(partly)), True
    wearing = [number for number, keys in enumerate(matched) if keys and (core or telling[number])]
    if wearing:
        return max(wearing, key=lambda number: (len(matched[number]), -number)), True
    if core or is_pack:
        return core, is_pack
    return next((number for number, keys in enumerate(telling) if keys), {}), False


def is_explicit_unasked(model: ModelMetadata, text: PromptText) -> bool:
    """Return whether the name or the title of a LoRA holds explicit words that the prompt does not."""
    return any(text.is_explicit_beyond(tokens(name)) for name in (model.name, model.title) if name)


def _title(model: ModelMetadata) -> frozenset[str]:
    return frozenset(token for name in (model.name, model.title) for token in tokens(name))


def _is_pack(telling: Sequence[set[Key]], title: frozenset[str]) -> bool:
    """Return whether the sets are different subjects: two in the title, or three of a name in several words each."""
    held = [title.intersection(token for key in keys for token in key if not is_common(token)) for keys in telling]
    subjects = [words for words in held if words]
    apart = any(one.isdisjoint(other) for one in subjects[:1] for other in subjects[1:])
    names = sum(any(sum(map(_is_rare, key)) > 1 for key in keys) for keys in telling)
    return apart or names >= MIN_NAMES


@lru_cache(maxsize=4000)
def _phrases(words: tuple[str, ...]) -> Mapping[Key, str]:
    """Tokens → phrase as it is written into a prompt; what differs in case, plural or spaces only counts once."""
    found: dict[Key, str] = {}
    letters: set[str] = set()
    for word in words:
        key = tokens(plain_text(phrase := safe_phrase(word)))
        if key and "".join(key) not in letters:
            letters.add("".join(key))
            found[key] = phrase
    return MappingProxyType(found)


def _is_telling(key: Key, title: frozenset[str]) -> bool:
    """Return whether a phrase is more than any picture may have: a rare word, or words of the LoRA's title."""
    return any(map(_is_rare, key)) or (title.issuperset(key) and not all(is_common(t) or is_meta(t) for t in key))


def _is_rare(token: str) -> bool:
    return not is_meta(token) and not is_everyday(token)


class _Outfit:
    """The phrases of a LoRA's trigger words that bring in something of their own."""

    def __init__(self, model: ModelMetadata, text: PromptText) -> None:
        self.text = text
        self.title = _title(model)
        self.sets = [_phrases(trigger.words) for trigger in model.trigger_sets]

    @cached_property
    def asked(self) -> bool:
        """True where the prompt asks for clothes that some trigger phrase names."""
        return any(self.text.asks_for(key) for keys in self.sets for key in keys if _named_in([key], self.text.clothes))

    @cached_property
    def several(self) -> bool:
        """True where some set names several whole outfits."""
        return any(len(set(map(self._whole_outfit, keys)) - {""}) > 1 for keys in self.sets)

    def is_left_out(self, key: Key) -> bool:
        if self.text.is_unwanted(key):
            return True
        if self.text.is_explicit_beyond(key):
            return True
        if self.title.issuperset(token for token in key if _is_rare(token)) and not self.title.isdisjoint(key):
            return False
        if any(part in self.text.colours and self.text.has_colour(key, part) for part in _COLOURED):
            return True
        if self._whole_outfit(key) and self.several:
            return True
        return bool(self.text.garments and _named_in([key], self.text.clothes)) and not self.asked

    def _whole_outfit(self, key: Key) -> str:
        """The outfit that a phrase names, of which a person wears one; empty: none."""
        return key[-1] if key[-1:] in self.text.listed("whole_outfits") else ""


def _named_in(pieces: Iterable[Key], phrases: frozenset[Key]) -> frozenset[Key]:
    """The phrases that stand in some pieces."""
    lengths = range(1, MAX_EXPLICIT_WORDS + 1)
    runs = (piece[at : at + length] for piece in pieces for at in range(len(piece)) for length in lengths)
    return phrases.intersection(runs)


def _is_part(key: Key, other: Key) -> bool:
    """Return whether another phrase says all of this one: `zorblax`, `zorblax style`."""
    length = len(key)
    return length < len(other) and any(other[at : at + length] == key for at in range(len(other)))


def safe_phrase(word: str) -> str:
    """Return a trigger phrase as prompt text: LoRA tags out, on one line, parentheses escaped unless they set a weight.

    A weight above 1.5, or of nothing, is left out; a phrase that is too long becomes empty.
    """
    text = "".join(c if c.isprintable() else " " for c in word[: 4 * MAX_CHARACTERS])
    text = " ".join(strip_lora_tags(text).split()).strip(" ,\\")
    if len(text) > MAX_CHARACTERS:
        return ""
    if (weighted := _WEIGHTED.fullmatch(text)) is None:
        return _PARENTHESIS.sub(r"\\\1", text)
    return text if 0 < float(weighted[2]) <= MAX_WEIGHT else weighted[1].strip()
