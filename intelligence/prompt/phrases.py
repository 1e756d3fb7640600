"""The prompt's words as noun phrases, sorted into categories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .analysis import ArtisticStyle, ConceptCategory, ContentType, Segment
from .concepts import noun_phrases
from .pieces import Piece, read_pieces
from .vocabulary import Match, Meaning, Vocabulary, unknown_person
from .words import singular

_TAG_WORDS = 3
"""Longest piece that is one tag."""
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
    modifier: bool = False
    """Whether it only tells more of the thing named right after it: the coffee of `coffee cup`."""
    plural: bool = False
    joined: bool = False
    """Whether `and` stands between it and an earlier phrase of its piece."""
    company: bool = False
    """Whether a person does something to it or is with it: the child of `nurse carrying a child`."""


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


def read_phrases(segments: Sequence[Segment], vocabulary: Vocabulary) -> Phrases:
    """The phrases of a parsed prompt."""
    pieces, cut = read_pieces(segments)
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
        persons=any(word in vocabulary.lists.person_words for piece in pieces for word in piece.words),
        word_count=sum(len(piece.words) for piece in pieces),
        function_count=sum(word in function_words for piece in pieces for word in piece.words),
        cut=cut,
    )


def _language(pieces: Sequence[Piece], vocabulary: Vocabulary) -> str:
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
    piece: Piece, index: int, matches: dict[int, Match], words: Vocabulary, language: str
) -> Iterator[Mention]:
    adjunct = negated = joined = leading = inside = company = person = False
    last: Match | None = None  # the last phrase that says what is shown
    position = 0
    while position < len(piece.words):
        match = matches.get(position)
        if match is None or _is_done(match, last):
            word = piece.words[position]
            position += 1
            if piece.tied(position - 1):
                continue
            if not (last or adjunct or negated) and _acts(position - 1, piece, matches, words):
                meaning = unknown_person(piece.words[position - 2])
                yield Mention(meaning, index, piece.weights[position - 2], leading, joined=joined)
                adjunct = person = True
            inside = inside or (last is None and word in words.lists.inside_words)
            leading = leading or inside or (index == position - 1 == 0 and word in words.lists.adjunct_words)
            if _turns_aside(word, last, words) or (word in words.lists.adjunct_words and not leading):
                adjunct = True
                company = person and (word in words.lists.company_words or _is_doing(word))
            negated = negated or word in words.lists.negating_words
            joined = joined or word in words.lists.joining_words
            continue
        position = match.end
        content = match.meaning.content
        if negated or (content and _gives_way(match, last, piece.words, matches, words)):
            continue
        if language == "es":
            modifier = _is_adjective(match, last, piece, words)
        else:
            modifier = _is_modifier(match, piece, matches, words) or _is_trade(match, last, words)
        yield Mention(
            meaning=_shown(match, piece, inside, words),
            piece=index,
            weight=max(piece.weights[match.start : match.end]),
            adjunct=adjunct or leading,
            modifier=modifier,
            plural=_is_plural(piece.words[match.end - 1], match.meaning),
            joined=joined,
            company=company,
        )
        if content:
            person = person or not (adjunct or modifier or _PEOPLE.isdisjoint(content))
            last, leading, inside = match, False, False
        elif match.meaning.styles:
            last = None


def _is_plural(word: str, meaning: Meaning) -> bool:
    """Whether the phrase ending with `word` is in the plural; the queen of hearts is not."""
    return singular(word) != word and not meaning.phrase.endswith(word)


def _is_trade(match: Match, last: Match | None, words: Vocabulary) -> bool:
    """Whether a person's trade is an animal's: `frog wizard`, but not `dragon hunter`."""
    if last is None or last.end != match.start or ContentType.ANIMAL not in last.meaning.content:
        return False
    return ContentType.CHARACTER in match.meaning.content and match.meaning.folded not in words.lists.beast_handlers


def _is_done(match: Match, last: Match | None) -> bool:
    """Whether a noun in -ing is what the person before it does: `workers building a wall`."""
    if last is None or last.end != match.start or _PEOPLE.isdisjoint(last.meaning.content):
        return False
    return match.end == match.start + 1 and _is_doing(match.meaning.phrase) and bool(match.meaning.content)


def _is_doing(word: str) -> bool:
    return len(word) > 4 and word.endswith(("ing", "ando", "iendo"))


def _acts(position: int, piece: Piece, matches: dict[int, Match], words: Vocabulary) -> bool:
    """Whether a word of which the vocabulary knows nothing does what people do: `roustabout smoking`."""
    before = position - 1
    if before < 0 or piece.words[position] not in words.lists.person_acts:
        return False
    if piece.words[before] in words.function_words["en"]:
        return False
    return all(not match.start <= before < match.end for match in matches.values())


def _shown(match: Match, piece: Piece, inside: bool, words: Vocabulary) -> Meaning:
    """What is to be seen `inside` of a building or a vehicle, or of an animal on the table: `grilled salmon`."""
    meaning, content = match.meaning, set(match.meaning.content)
    if inside and {ContentType.ARCHITECTURE, ContentType.VEHICLE} & content:
        return replace(meaning, content=(ContentType.INTERIOR,))
    cooked = ContentType.ANIMAL in content and not words.lists.cooking_words.isdisjoint(
        piece.words[match.start - 1 : match.start]
    )
    return replace(meaning, content=(ContentType.FOOD,)) if cooked else meaning


def _turns_aside(word: str, last: Match | None, words: Vocabulary) -> bool:
    """Whether what follows `word` belongs to the phrase before it: `queen of …`, `girl reading …`, `gato leyendo …`.

    What a portrait, a group or a sticker is of, is what is shown.
    """
    if last is None:
        return False
    if word in words.lists.of_words:
        return not (last.meaning.styles or {ContentType.PORTRAIT, ContentType.GROUP} & set(last.meaning.content))
    return _is_doing(word)


def _is_adjective(match: Match, last: Match | None, piece: Piece, words: Vocabulary) -> bool:
    """Whether a Spanish noun tells of the one right before it: `guitarra vieja`."""
    after = last is not None and last.end == match.start == match.end - 1
    return after and singular(piece.words[match.start]) in words.spanish_adjectives


def _is_modifier(match: Match, piece: Piece, matches: dict[int, Match], words: Vocabulary) -> bool:
    """Whether a phrase only tells more of what follows it: `moss-covered`, `heart shaped`, `grandma's pie`."""
    end = match.end
    if end == len(piece.words):
        return False
    following = matches.get(end)
    if following is not None and (_is_done(following, match) or _is_trade(following, match, words)):
        return False
    if piece.possessive[end - 1]:
        return not (ContentType.ANIMAL in match.meaning.content and following and not following.meaning.content)
    if piece.hyphens[end - 1] and (following is None or not following.meaning.content):
        return True
    if following is not None:
        return _tells_of(match, following, len(piece.words), words)
    described = piece.words[end] in words.lists.describing_words and end + 1 < len(piece.words)
    return described and piece.words[end + 1] not in words.function_words["en"]


def _tells_of(match: Match, following: Match, piece_length: int, words: Vocabulary) -> bool:
    """Whether a phrase only describes the one right after it: `coffee cup`, `realistic painting`, the tag `cat tail`.

    Animals are what their `herd` or `family` is about.
    """
    first, second = match.meaning, following.meaning
    if second.folded in words.lists.picture_words:
        return False
    if first.content and second.content:
        herd = ContentType.ANIMAL in first.content and ContentType.GROUP in second.content
        return not herd and not (first.content == (ContentType.ABSTRACT,) and first.styles and second.weak)
    if second.category is ConceptCategory.CHARACTER and not second.content:
        face = not _PEOPLE.isdisjoint(first.content) and second.folded in words.lists.faces
        return piece_length <= _TAG_WORDS or face or second.garment
    styles = {style for style, _ in first.styles}
    return bool(second.styles) and styles == {_REALISTIC} and second.styles[0][0] is not _REALISTIC


def _gives_way(
    match: Match, last: Match | None, piece: Sequence[str], matches: dict[int, Match], words: Vocabulary
) -> bool:
    """Whether the phrase only counts or holds what is named beside it: `bowl of fruit`, `bear family`."""
    group = ContentType.GROUP in match.meaning.content
    if group and last is not None and last.end == match.start and ContentType.ANIMAL in last.meaning.content:
        return True
    container = match.end == match.start + 1 and piece[match.start] in words.lists.containers
    joint = piece[match.end] if match.end < len(piece) else ""
    if container and joint in words.lists.of_words:
        return True
    after = (matches[i] for i in range(match.end + 1, len(piece)) if i in matches)
    held = next((match for match in after if match.meaning.content), None)
    if container and joint in words.lists.company_words:
        return held is not None and ContentType.FOOD in held.meaning.content
    if not group or joint not in words.lists.of_words or held is None:
        return False
    place = held.start > match.end + 1 and piece[match.end + 1] in words.function_words["en"]
    return not place and _PEOPLE.isdisjoint(held.meaning.content)
