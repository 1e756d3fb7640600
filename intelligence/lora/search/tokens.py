"""Text as the search compares it: tokens, and the words and phrases of a prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...prompt import ConceptCategory, PromptAnalysis, load_vocabulary, wanted_text
from ...prompt.words import terms, typed_words

MAX_PROMPT_TOKENS = 2_000
MAX_NEGATIVE_CHARACTERS = 20_000
MAX_PHRASE = 6
"""Longest phrase, in tokens, that is looked for as a whole."""

_SHORT = 80
"""Characters up to which a text's tokens are remembered."""
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PIECE_END = re.compile(r"(?:[,;:!?\n|\"]|(?<!\b[A-Za-z])\.)+")
_WORD = re.compile(r"[^\W_]+")
_ATTENTION = re.compile(r":\s*\d*\.?\d+\s*(?=[)\]])")
_VERSION = re.compile(r"v?\d+(?:[a-z]|k|st|nd|ep)?\d*")


@lru_cache(maxsize=50_000)
def stem(term: str) -> str:
    """`magical` → `magic`, `photorealistic` → `photorealism`: the endings that part a tag from its prompt's words."""
    if len(term) > 6 and term.endswith("ical"):
        return term[:-2]
    if len(term) > 7 and term.endswith("istic"):
        return term[:-3] + "m"
    return term


@lru_cache(maxsize=50_000)
def root(token: str) -> str:
    """Return a token without the ending that its relatives lack: `dancer`, `dancing` and `dance` share `danc`."""
    for ending in ("ing", "er", "ed", "or", "e"):
        if token.endswith(ending) and len(token) - len(ending) >= 3:
            short = token[: -len(ending)]
            return short[:-1] if len(short) > 3 and short[-1] == short[-2] and short[-1] not in "sl" else short
    return token


def tokens(text: str) -> tuple[str, ...]:
    """Stemmed terms of `text`; camelCase counts as words."""
    return _phrase_tokens(text) if len(text) <= _SHORT else _tokens(text)


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(stem(term) for term in terms(_CAMEL.sub(" ", text)))


_phrase_tokens = lru_cache(maxsize=20_000)(_tokens)


def digest(keys: Iterable[str]) -> NDArray[np.uint64]:
    """The 64-bit number of every key."""
    data = b"".join(blake2b(key.encode("utf-8", "replace"), digest_size=8).digest() for key in keys)
    return np.frombuffer(data, np.uint64)


def pieces(text: str) -> list[tuple[str, ...]]:
    """The tokens of every comma piece or clause of `text` that has some; attention weights left out."""
    return [found for piece in _PIECE_END.split(_ATTENTION.sub("", text)) if (found := tokens(piece))]


@cache
def _word_lists() -> tuple[frozenset[str], frozenset[str]]:
    data = json.loads(Path(__file__).with_name("common_words.json").read_text(encoding="utf-8"))
    meta, common = (frozenset(token for word in data[kind] for token in tokens(word)) for kind in ("meta", "common"))
    return meta, common - meta


def is_meta(token: str) -> bool:
    """Return whether a token says nothing of what a LoRA shows: `lora`, `style`, `v2`, a single letter."""
    return len(token) < 2 or token in _word_lists()[0] or _VERSION.fullmatch(token) is not None


def is_common(token: str) -> bool:
    """Return whether a token stands in so many prompts that it calls no LoRA by itself."""
    return token in _word_lists()[1]


@cache
def _everyday() -> frozenset[str]:
    free = (ConceptCategory.STYLE, ConceptCategory.CONTENT)
    return frozenset(
        stem(key[0])
        for key, meaning in load_vocabulary().english.items()
        if len(key) == 1 and not meaning.styles and (meaning.category not in free or meaning.content)
    )


def is_everyday(token: str) -> bool:
    """Return whether a token is a thing, place, light or view that any picture may have, which makes a weak tag."""
    return token in _everyday() or is_common(token)


@cache
def _function_words(language: str) -> frozenset[str]:
    known = load_vocabulary().function_words
    return frozenset(token for name in {"en", language} for word in known.get(name, ()) for token in tokens(word))


def _without_spanish(text: str) -> str:
    """`text` with a comma in place of every Spanish word that the vocabulary knows."""
    known = load_vocabulary()

    def kept(match: re.Match[str]) -> str:
        (term, *_) = terms(match[0]) or ("",)
        spanish = (term,) in known.spanish or term in known.spanish_adjectives or term in known.function_words["es"]
        return "," if spanish else match[0]

    return _WORD.sub(kept, text)


@dataclass(frozen=True)
class Query:
    """A prompt's words, ready to be compared with LoRAs'."""

    tokens: frozenset[str]
    phrases: frozenset[tuple[str, ...]]
    """Every run of up to six tokens within a comma piece."""
    written: Mapping[str, str] = field(default_factory=dict)
    """Token → the word as the prompt has it."""
    pieces: tuple[tuple[str, ...], ...] = ()
    """The tokens of every comma piece or clause, as they follow each other."""
    spoken: int = 0
    """Number of `pieces` that are the prompt's own; concepts follow."""
    telling: frozenset[str] = frozenset()
    """Tokens that say something of what a LoRA shows: neither `is_meta` nor function words."""
    avoided: frozenset[str] = frozenset()
    """Tokens of what the prompt negates and of the negative prompt."""
    capitals: tuple[int, ...] = ()
    """Per token of `pieces`: 2 where it begins a sentence with a capital letter, 1 where it has one elsewhere, or 0."""
    corrected: frozenset[str] = frozenset()
    """Tokens that stand for a word which the prompt spells otherwise."""

    @cached_property
    def keys(self) -> dict[str, bool]:
        """Every word and phrase without its spaces, and whether it is a word; in the prompt's order."""
        starts = ((piece, start) for piece in self.pieces for start in range(len(piece)))
        ends = ((piece, start, end) for piece, start in starts for end in range(start + 1, start + MAX_PHRASE + 1))
        keys = dict.fromkeys(("".join(piece[start:end]) for piece, start, end in ends), False)
        return keys | {token: True for piece in self.pieces for token in piece}

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """`digest` of `keys`."""
        return digest(self.keys)

    def has(self, phrase: tuple[str, ...]) -> bool:
        """Return whether the phrase stands in the prompt as a whole."""
        return phrase in self.phrases if len(phrase) <= MAX_PHRASE else all(token in self.tokens for token in phrase)


def query(texts: Iterable[str], function_words: frozenset[str] = frozenset()) -> Query:
    """Return the query of some texts (a prompt, its concepts).

    Args:
        function_words: words that tell something within phrases only: the `in` of `hand in hand`.
    """
    written: dict[str, str] = {}
    sequence: list[tuple[str, ...]] = []
    capitals: list[int] = []
    count = 0
    spoken = 0
    for number, piece, begins in ((n, *found) for n, text in enumerate(texts) for found in _cut(text)):
        if count >= MAX_PROMPT_TOKENS:
            break
        plain = terms(_CAMEL.sub(" ", piece))[: MAX_PROMPT_TOKENS - count]
        stems = tuple(map(stem, plain))
        count += len(stems)
        sequence += [stems] if stems else []
        spoken += bool(stems) and not number
        as_typed = typed_words(_CAMEL.sub(" ", piece))[: len(plain)]
        matching = len(as_typed) == len(plain)
        capitals += _capitals(as_typed, begins) if matching else [0] * len(plain)
        for token, word in zip(stems, as_typed if matching else plain, strict=True):
            written.setdefault(token, word)
    starts = ((stems, start) for stems in sequence for start in range(len(stems)))
    phrases = {stems[start:end] for stems, start in starts for end in range(start + 1, start + MAX_PHRASE + 1)}
    telling = frozenset(token for token in written if token not in function_words and not is_meta(token))
    return Query(
        frozenset(written),
        frozenset(phrases),
        written,
        tuple(sequence),
        spoken=spoken,
        telling=telling,
        capitals=tuple(capitals),
    )


def _cut(text: str) -> Iterator[tuple[str, bool]]:
    """The comma pieces and clauses of a text, and whether each begins a sentence."""
    start, begins = 0, True
    for end in _PIECE_END.finditer(text):
        yield text[start : end.start()], begins
        start, begins = end.end(), any(mark in ".!?\n" for mark in end[0])
    yield text[start:], begins


def _capitals(words: Sequence[str], begins: bool) -> list[int]:
    marks = [int(word[0].isupper()) for word in words]
    return [2, *marks[1:]] if marks and marks[0] and begins else marks


def prompt_query(analysis: PromptAnalysis) -> Query:
    """Return the words that a prompt wants, with its concepts; of a Spanish one these, which are English, and names."""
    concepts = [phrase for phrases in analysis.concepts.values() for phrase in phrases]
    text = wanted_text(analysis)
    texts = [text if analysis.language == "en" or not concepts else _without_spanish(text), *concepts]
    avoided = frozenset(tokens(analysis.unwanted_text[:MAX_NEGATIVE_CHARACTERS]))
    found = query(texts, _function_words(analysis.language))
    if analysis.language == "es" and concepts:
        own = {token for piece in found.pieces[: found.spoken] for token in piece}
        said = {token: words for token, words in _said_in_spanish(text).items() if token not in own}
        found = replace(found, written={token: said.get(token, word) for token, word in found.written.items()})
    return replace(found, avoided=avoided)


def _said_in_spanish(text: str) -> dict[str, str]:
    """Token of an English concept → the Spanish words of `text` that say it."""
    known = load_vocabulary()
    said: dict[str, str] = {}
    for piece in _PIECE_END.split(text):
        words, typed = terms(piece), typed_words(piece)
        if len(words) != len(typed):
            continue
        for match in known.find(words, "es").values():
            phrase = " ".join(typed[match.start : match.end])
            said |= {token: said.get(token, phrase) for token in tokens(match.meaning.phrase)}
        adjectives = (
            (known.spanish_adjectives.get(word), as_typed) for word, as_typed in zip(words, typed, strict=True)
        )
        said |= {stem(english): as_typed for english, as_typed in adjectives if english}
    return said
