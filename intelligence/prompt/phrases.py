"""The prompt's words as noun phrases, sorted into categories."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .analysis import ArtisticStyle, ConceptCategory, ContentType, Segment
from .concepts import noun_phrases
from .vocabulary import Match, Meaning, Vocabulary, somebody
from .words import fold, singular

_TOKEN = re.compile(r"(?P<word>[^\W_]+)|(?P<stop>[,;!?\n|()\[\]{}\"“”—]+|\.(?!\w)|[:/](?!\d))")
_NO_WORDS = re.compile(r"(?:^|(?<=\s))(?:embedding:\s*\S*|--[a-z]+(?:[ =]+[\d.:]+)?)|<[^<>]*>")
"""Names of files, Midjourney's parameters, tags."""
_POSSESSIVE = re.compile(r"['’]s\b")
_SEPARATORS = frozenset(("AND", "BREAK"))
_TAG_WORDS = 3
"""Longest piece that is one tag."""
MAX_WORDS = 2_000
"""How many words of a prompt are read for their meaning; no text encoder sees as many."""
_PEOPLE = {ContentType.CHARACTER, ContentType.GROUP}
_REALISTIC = ArtisticStyle.PHOTOREALISTIC


@dataclass(frozen=True)
class Mention:
    """One phrase of the vocabulary, as the prompt uses it."""

    meaning: Meaning
    piece: int
    weight: float
    """Attention weight."""
    adjunct: bool
    """Whether it only accompanies another thing: `in a forest`, `… background`."""
    modifier: bool
    """Whether it only tells more of the thing named right after it: the coffee of `coffee cup`."""
    plural: bool
    joined: bool
    """Whether `and` stands between it and an earlier phrase of its piece."""


@dataclass(frozen=True)
class Phrases:
    """What was found, in the order of the prompt."""

    language: str
    pieces: tuple[str, ...]
    """The texts between commas and full stops, in lower case."""
    mentions: tuple[Mention, ...]
    concepts: dict[ConceptCategory, tuple[str, ...]]
    persons: bool
    """Whether somebody is spoken of as he or she."""
    word_count: int
    function_count: int
    cut: bool
    """Whether the prompt has more than MAX_WORDS words."""


@dataclass
class _Piece:
    words: list[str] = field(default_factory=list)
    """Folded."""
    weights: list[float] = field(default_factory=list)


def read_phrases(segments: Sequence[Segment], vocabulary: Vocabulary) -> Phrases:
    """The phrases of a parsed prompt."""
    pieces, cut = _pieces(segments)
    language = _language(pieces, vocabulary)
    function_words = vocabulary.function_words[language]
    mentions: list[Mention] = []
    found: dict[ConceptCategory, dict[str, None]] = {}
    for index, piece in enumerate(pieces):
        terms = [singular(word) for word in piece.words]
        matches = {match.start: match for match in vocabulary.find(terms, language)}
        mentions += _mentions(piece, index, matches, vocabulary, language)
        for category, phrase in noun_phrases(piece.words, matches, vocabulary, language):
            found.setdefault(category, {})[phrase] = None
    return Phrases(
        language=language,
        pieces=tuple(" ".join(piece.words) for piece in pieces),
        mentions=tuple(mentions),
        concepts={category: tuple(found[category]) for category in ConceptCategory if category in found},
        persons=any(word in vocabulary.person_words for piece in pieces for word in piece.words),
        word_count=sum(len(piece.words) for piece in pieces),
        function_count=sum(word in function_words for piece in pieces for word in piece.words),
        cut=cut,
    )


def _pieces(segments: Sequence[Segment]) -> tuple[list[_Piece], bool]:
    """The pieces that hold words, up to MAX_WORDS of them, and whether there are more."""
    pieces = [_Piece()]
    count, cut = 0, False
    for match, weight in _tokens(segments):
        word = match.group("word")
        if word is None or word in _SEPARATORS:
            if pieces[-1].words:
                pieces.append(_Piece())
            continue
        cut = count == MAX_WORDS
        if cut:
            break
        pieces[-1].words.append(fold(word))
        pieces[-1].weights.append(weight)
        count += 1
    return [piece for piece in pieces if piece.words], cut


def _tokens(segments: Sequence[Segment]) -> Iterator[tuple[re.Match[str], float]]:
    for segment in segments:
        text = _NO_WORDS.sub(",", unicodedata.normalize("NFC", segment.text))
        for match in _TOKEN.finditer(_POSSESSIVE.sub("", text)):
            yield match, segment.weight


def _language(pieces: Sequence[_Piece], vocabulary: Vocabulary) -> str:
    """`es` where Spanish words outnumber English ones, counting only words that tell the two apart."""
    spanish = english = 0
    es, en = vocabulary.function_words["es"], vocabulary.function_words["en"]
    for piece in pieces:
        for word in piece.words:
            term = (singular(word),)
            is_spanish = word in es or term in vocabulary.spanish or term[0] in vocabulary.spanish_adjectives
            is_english = word in en or term in vocabulary.english
            spanish += is_spanish and not is_english
            english += is_english and not is_spanish
    return "es" if spanish > english else "en"


def _mentions(
    piece: _Piece, index: int, matches: dict[int, Match], words: Vocabulary, language: str
) -> Iterator[Mention]:
    background = any(match.meaning.phrase.endswith("background") for match in matches.values())
    adjunct = negated = joined = leading = False
    last: Match | None = None  # the last phrase that says what is shown
    position = 0
    while position < len(piece.words):
        match = matches.get(position)
        if match is None:
            word = piece.words[position]
            if not (last or adjunct or negated) and _acts(position, piece, matches, words):
                meaning = somebody(piece.words[position - 1])
                yield Mention(meaning, index, piece.weights[position - 1], leading, False, False, joined)
                adjunct = True
            leading = leading or (index == position == 0 and word in words.adjunct_words)
            adjunct = adjunct or _turns_aside(word, last, words) or (word in words.adjunct_words and not leading)
            negated = negated or word in words.negating_words
            joined = joined or word in words.joining_words
            position += 1
            continue
        position = match.end
        content = match.meaning.content
        if negated or (content and _gives_way(match, last, piece.words, matches, words)):
            continue
        following = matches.get(match.end)
        last_word = piece.words[match.end - 1]
        yield Mention(
            meaning=match.meaning,
            piece=index,
            weight=max(piece.weights[match.start : match.end]),
            adjunct=adjunct or background or leading,
            modifier=language == "en" and following is not None and _tells_of(match, following, len(piece.words)),
            plural=singular(last_word) != last_word,
            joined=joined,
        )
        if content:
            last, leading = match, False
        elif match.meaning.styles:
            last = None


def _acts(position: int, piece: _Piece, matches: dict[int, Match], words: Vocabulary) -> bool:
    """Whether a word of which the vocabulary knows nothing does what people do: `roustabout smoking`."""
    before = position - 1
    if (
        before < 0
        or piece.words[position] not in words.person_acts
        or piece.words[before] in words.function_words["en"]
    ):
        return False
    return all(not match.start <= before < match.end for match in matches.values())


def _turns_aside(word: str, last: Match | None, words: Vocabulary) -> bool:
    """Whether what follows `word` belongs to the phrase before it: `queen of …`, `girl reading …`, `gato leyendo …`.

    What a portrait, a group or a sticker is of, is what is shown.
    """
    if last is None:
        return False
    if word in words.of_words:
        return not (last.meaning.styles or {ContentType.PORTRAIT, ContentType.GROUP} & set(last.meaning.content))
    return len(word) > 4 and word.endswith(("ing", "ando", "iendo"))


def _tells_of(match: Match, following: Match, piece_length: int) -> bool:
    """Whether a phrase only describes the one right after it: `coffee cup`, `realistic painting`, the tag `cat tail`.

    Animals are what their `herd` or `family` is about.
    """
    first, second = match.meaning, following.meaning
    if first.content and second.content:
        herd = ContentType.ANIMAL in first.content and ContentType.GROUP in second.content
        return not herd and first.content != (ContentType.ABSTRACT,)
    if second.category is ConceptCategory.CHARACTER and not second.content and piece_length <= _TAG_WORDS:
        return True
    styles = {style for style, _ in first.styles}
    return bool(second.styles) and styles == {_REALISTIC} and second.styles[0][0] is not _REALISTIC


def _gives_way(
    match: Match, last: Match | None, piece: Sequence[str], matches: dict[int, Match], words: Vocabulary
) -> bool:
    """Whether the phrase only counts or holds what is named beside it: `bowl of fruit`, `bear family`."""
    group = ContentType.GROUP in match.meaning.content
    if group and last is not None and last.end == match.start and ContentType.ANIMAL in last.meaning.content:
        return True
    if match.end >= len(piece) or piece[match.end] not in words.of_words:
        return False
    if piece[match.end - 1] in words.containers:
        return True
    after = (matches[i] for i in range(match.end + 1, len(piece)) if i in matches)
    held = next((match for match in after if match.meaning.content), None)
    return group and held is not None and not _PEOPLE & set(held.meaning.content)
