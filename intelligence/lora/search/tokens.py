"""Text as the search compares it: tokens, and the words and phrases of a prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

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
MARKS = ".:!?"
"""Marks that end a piece, each its place from 1; others, and none, are 0."""
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
    """The 64-bit number of every key: a polynomial of random numbers of its bytes, stirred (as SplitMix64 does)."""
    texts = list(keys)
    if not texts:
        return np.empty(0, np.uint64)
    text = "\0".join((*texts, ""))
    data = texts if text.isascii() else [key.encode("utf-8", "replace") for key in texts]
    counts = np.fromiter(map(len, data), np.int64, len(data)) + 1
    starts = np.cumsum(counts) - counts
    letters = _BYTE_NUMBERS[np.frombuffer(text.encode("utf-8", "replace"), np.uint8)]
    places = np.arange(len(letters)) - np.repeat(starts, counts)
    return _stirred(np.add.reduceat(letters * _powers(int(counts.max())).take(places), starts))


def _stirred(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(31))


_GOLDEN = 0x9E3779B97F4A7C15
_BYTE_NUMBERS = _stirred(np.arange(1, 257, dtype=np.uint64) * np.uint64(_GOLDEN))


def _powers(count: int) -> NDArray[np.uint64]:
    """The first powers of an odd number, at least so many."""
    return _powers_up_to(1 << max(6, (count - 1).bit_length()))


@lru_cache(maxsize=16)
def _powers_up_to(count: int) -> NDArray[np.uint64]:
    factors = np.full(count, _GOLDEN, np.uint64)
    factors[0] = 1
    return np.cumprod(factors)


def pieces(text: str) -> list[tuple[str, ...]]:
    """The tokens of every comma piece or clause of `text` that has some; attention weights left out."""
    return [found for piece in _PIECE_END.split(_ATTENTION.sub("", text)) if (found := tokens(piece))]


@cache
def _word_lists() -> tuple[frozenset[str], frozenset[str]]:
    data = json.loads(Path(__file__).with_name("common_words.json").read_text(encoding="utf-8"))
    meta, common = (frozenset(token for word in data[kind] for token in tokens(word)) for kind in ("meta", "common"))
    return meta, common - meta


@lru_cache(maxsize=50_000)
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
    marks: tuple[int, ...] = ()
    """Per piece, the mark that ends it: see `MARKS`."""
    corrected: frozenset[str] = frozenset()
    """Tokens that stand for a word which the prompt spells otherwise."""

    @cached_property
    def keys(self) -> dict[str, bool]:
        """Every word and phrase without its spaces, and whether it is a word; in the prompt's order."""
        return dict.fromkeys(self.places, False) | {token: True for piece in self.pieces for token in piece}

    @cached_property
    def places(self) -> dict[str, list[tuple[int, int, int]]]:
        """Every word and phrase without its spaces, and where it stands: its start and end among the tokens of all
        pieces, and the piece."""
        found: dict[str, list[tuple[int, int, int]]] = {}
        base = 0
        for number, piece in enumerate(self.pieces):
            for start in range(len(piece)):
                key = ""
                for end, token in enumerate(piece[start : start + MAX_PHRASE], base + start + 1):
                    key += token
                    found.setdefault(key, []).append((base + start, end, number))
            base += len(piece)
        return found

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """`digest` of `keys`."""
        return digest(self.keys)

    @cached_property
    def sequence(self) -> tuple[str, ...]:
        """The tokens of all pieces, one after the other."""
        return tuple(token for piece in self.pieces for token in piece)

    def has(self, phrase: tuple[str, ...]) -> bool:
        """Return whether the phrase stands in the prompt as a whole; of one longer than `MAX_PHRASE`, its tokens."""
        if len(phrase) > MAX_PHRASE:
            return all(token in self.tokens for token in phrase)
        return any(self.sequence[start:end] == phrase for start, end, _ in self.places.get("".join(phrase), ()))


def query(texts: Iterable[str], function_words: frozenset[str] = frozenset()) -> Query:
    """Return the query of some texts (a prompt, its concepts).

    Args:
        function_words: words that tell something within phrases only: the `in` of `hand in hand`.
    """
    written: dict[str, str] = {}
    sequence: list[tuple[str, ...]] = []
    capitals: list[int] = []
    marks: list[int] = []
    count = 0
    spoken = 0
    for number, (stems, said, capital, mark) in (
        (n, piece)
        for n, text in enumerate(texts)
        for piece in (_read_short(text) if len(text) <= _SHORT else _read(text))
    ):
        if count >= MAX_PROMPT_TOKENS:
            break
        stems = stems[: MAX_PROMPT_TOKENS - count]
        count += len(stems)
        sequence.append(stems)
        spoken += not number
        capitals += capital[: len(stems)]
        marks.append(mark)
        for token, word in zip(stems, said, strict=False):
            written.setdefault(token, word)
    telling = frozenset(token for token in written if token not in function_words and not is_meta(token))
    return Query(
        frozenset(written),
        written,
        tuple(sequence),
        spoken=spoken,
        telling=telling,
        capitals=tuple(capitals),
        marks=tuple(marks),
    )


def _read(text: str) -> tuple[_Piece, ...]:
    """The comma pieces and clauses of a text that hold words."""
    pieces = (_read_short_piece(*cut) if len(cut[0]) <= _SHORT else _read_piece(*cut) for cut in _cut(text))
    return tuple(piece for piece in pieces if piece.tokens)


_read_short = lru_cache(maxsize=20_000)(_read)


class _Piece(NamedTuple):
    tokens: tuple[str, ...]
    words: tuple[str, ...]
    """As typed or, where folding parts a letter in two, folded."""
    capitals: tuple[int, ...]
    """See `Query.capitals`; without any where words are folded."""
    mark: int
    """See `MARKS`."""


def _read_piece(text: str, begins: bool, mark: int) -> _Piece:
    """Read a comma piece. Args: begins: whether it begins a sentence; mark: what ends it."""
    apart = _CAMEL.sub(" ", text)
    plain, typed = terms(apart), typed_words(apart)
    is_typed = len(typed) == len(plain)
    capitals = _capitals(typed, begins) if is_typed else [0] * len(plain)
    return _Piece(tuple(map(stem, plain)), tuple(typed if is_typed else plain), tuple(capitals), mark)


_read_short_piece = lru_cache(maxsize=20_000)(_read_piece)


def _cut(text: str) -> Iterator[tuple[str, bool, int]]:
    """The comma pieces and clauses of a text, whether each begins a sentence, and the mark that ends it."""
    start, begins = 0, True
    for end in _PIECE_END.finditer(text):
        yield text[start : end.start()], begins, MARKS.find(end[0][0]) + 1
        start, begins = end.end(), any(mark in ".!?\n" for mark in end[0])
    yield text[start:], begins, 0


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
