"""What kind of picture is wanted: style, content type, quality level."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

from ..records import Reason
from .analysis import ArtisticStyle, ConceptCategory, ContentType, Intent, QualityLevel
from .phrases import Mention, Phrases
from .vocabulary import Vocabulary

T = TypeVar("T", ArtisticStyle, ContentType)

_STYLE_THRESHOLD = 0.35
_CONTENT_THRESHOLD = 0.1
_AVOIDED = 0.5
"""What a style loses when the negative prompt names it."""
_MORE = 0.2
"""What further mentions add to the strongest one, of their own weight."""
_MORE_AT_MOST = 0.2
_ADJUNCT = 0.4
_MODIFIER = 0.25
_WEAK = 0.4
"""What an accessory counts."""
_LATER = 0.12
"""What each earlier mention takes from the later ones."""
_ATTRIBUTE, _FURTHER_ATTRIBUTE, _ATTRIBUTES_AT_MOST = 0.35, 0.2, 0.95
"""What hair, clothes, poses or `she` say for a person whom nothing else names: the first of them, and each other."""
_PEOPLE = {ContentType.CHARACTER, ContentType.GROUP, ContentType.PORTRAIT}
_CONTENT_WEIGHT = {
    ContentType.CHARACTER: 1.0,
    ContentType.PORTRAIT: 1.3,
    ContentType.GROUP: 1.1,
    ContentType.ANIMAL: 1.0,
    ContentType.LANDSCAPE: 0.8,
    ContentType.ARCHITECTURE: 0.9,
    ContentType.INTERIOR: 0.95,
    ContentType.OBJECT: 0.8,
    ContentType.FOOD: 0.9,
    ContentType.VEHICLE: 0.95,
    ContentType.ABSTRACT: 0.9,
}
"""Who is in a picture is its content, wherever they are."""


def read_intent(phrases: Phrases, avoided: Phrases, words: Vocabulary) -> tuple[Intent, tuple[Reason, ...]]:
    """The intent behind `phrases`, given what the negative prompt avoids, with its reasons."""
    style, style_sure, style_words = _style(phrases, avoided)
    content, content_sure, content_words = _content(phrases, words)
    if style is ArtisticStyle.ABSTRACT and content is ContentType.UNSPECIFIED:
        content, content_sure, content_words = ContentType.ABSTRACT, style_sure, style_words
    quality, quality_words = _quality(phrases.mentions)
    reasons = []
    if style_words:
        reasons.append(Reason("style", f"{style.value}: the prompt says {_quoted(style_words)}", style_sure))
    if content_words:
        reasons.append(Reason("content", f"{content.value}: the prompt names {_quoted(content_words)}", content_sure))
    if quality_words:
        reasons.append(Reason("quality", f"{quality.value}: the prompt asks for {_quoted(quality_words)}"))
    confidence = round((style_sure + content_sure) / 2, 3)
    return Intent(style, content, confidence), tuple(reasons)


def _quoted(words: Iterable[str], most: int = 4) -> str:
    return ", ".join(f"“{word}”" for word in list(dict.fromkeys(words))[:most])


def _style(phrases: Phrases, avoided: Phrases) -> tuple[ArtisticStyle, float, list[str]]:
    votes: dict[ArtisticStyle, list[tuple[float, str]]] = {}
    shown = any(m.meaning.content or m.meaning.category is ConceptCategory.CHARACTER for m in phrases.mentions)
    for mention in phrases.mentions:
        aside = mention.modifier or (mention.adjunct and mention.meaning.content)
        stressed = max(0.0, mention.weight) * (_ADJUNCT if aside else 1.0)
        for style, weight in mention.meaning.styles:
            if mention.meaning.quality and weight < 1.0 and not shown:  # quality tags alone ask for no look
                continue
            votes.setdefault(style, []).append((weight * stressed, mention.meaning.phrase))
    unwanted = {style for mention in avoided.mentions for style, weight in mention.meaning.styles if weight == 1.0}
    return _best(votes, ArtisticStyle.UNSPECIFIED, _STYLE_THRESHOLD, unwanted)


def _content(phrases: Phrases, words: Vocabulary) -> tuple[ContentType, float, list[str]]:
    votes = _content_votes(phrases, words)
    best, sure, said = _best(votes, ContentType.UNSPECIFIED, _CONTENT_THRESHOLD)
    views = {mention.meaning.folded for mention in phrases.mentions}
    near, far = (
        sorted(views & words.lists.close_ups) or _faces(phrases.mentions, words),
        views & words.lists.full_figures,
    )
    if best is ContentType.CHARACTER and near and not far:
        return ContentType.PORTRAIT, sure, [*near, *said]
    if best is ContentType.PORTRAIT and (far or _of_no_person(phrases.mentions)):
        votes.pop(best)
        return _best(votes, ContentType.UNSPECIFIED, _CONTENT_THRESHOLD)
    return best, sure, said


def _content_votes(phrases: Phrases, words: Vocabulary) -> dict[ContentType, list[tuple[float, str]]]:
    votes: dict[ContentType, list[tuple[float, str]]] = {}

    def vote(content: ContentType, weight: float, phrase: str) -> None:
        votes.setdefault(content, []).append((weight * _CONTENT_WEIGHT[content], phrase))

    order = 0
    for mention in phrases.mentions:
        meaning = mention.meaning
        stressed = max(0.0, mention.weight)
        if meaning.content:
            weight = stressed / (1 + _LATER * order)
            weight *= _ADJUNCT if mention.adjunct else 1.0
            weight *= _WEAK if meaning.weak else 1.0
            for content in _contents(mention):
                vote(content, weight * (_MODIFIER if mention.modifier else 1.0), meaning.phrase)
            order += not mention.modifier
    attributes = _attributes(phrases, words)
    if attributes:
        content = ContentType.OBJECT if _is_garment(phrases, attributes) else ContentType.CHARACTER
        weight = min(_ATTRIBUTES_AT_MOST, _ATTRIBUTE + _FURTHER_ATTRIBUTE * (len(attributes) - 1))
        vote(content, weight, next(iter(attributes)))
    people = _people_together(phrases.mentions)
    if people:
        vote(ContentType.GROUP, 1.0, " and ".join(people))
        votes[ContentType.GROUP] += votes.pop(ContentType.CHARACTER, [])
    for mention in () if people else phrases.mentions:
        if mention.meaning.folded in words.lists.solo_words:
            votes.pop(ContentType.GROUP, None)
            if mention.meaning.content:
                vote(ContentType.CHARACTER, max(0.0, mention.weight), mention.meaning.phrase)
    return votes


def _attributes(phrases: Phrases, words: Vocabulary) -> dict[str, Mention | None]:
    """What is said of a person: hair, clothes, poses, `she`."""
    found: dict[str, Mention | None] = {"somebody": None} if phrases.persons else {}
    thing = -1  # the last piece that named something else
    for mention in phrases.mentions:
        meaning = mention.meaning
        told = meaning.category is ConceptCategory.CHARACTER or meaning.folded in words.lists.person_views
        if meaning.content:
            thing = mention.piece
        elif told and mention.weight > 0 and not (thing == mention.piece and meaning.phrase.endswith("ing")):
            found.setdefault(meaning.phrase, mention)
    return found


def _opening(mentions: Iterable[Mention]) -> Mention | None:
    """The first that is shown, be it only somebody's hat."""
    shown = (m for m in mentions if m.meaning.content or m.meaning.category is ConceptCategory.CHARACTER)
    return next((mention for mention in shown if not mention.modifier), None)


def _is_garment(phrases: Phrases, attributes: Mapping[str, Mention | None]) -> bool:
    """Whether a sentence is about clothes that nobody wears: `a leather jacket on a hook`."""
    first = _opening(phrases.mentions)
    if first is None or first.adjunct or not first.meaning.garment or not phrases.function_count:
        return False
    return all(mention and mention.meaning.garment for mention in attributes.values())


def _faces(mentions: Iterable[Mention], words: Vocabulary) -> list[str]:
    """The face that is the first thing shown: `the woman's face`, `face of a monk`."""
    shown = [
        m
        for m in mentions
        if (m.meaning.content and not (m.modifier and _PEOPLE.isdisjoint(m.meaning.content)))
        or m.meaning.folded in words.lists.faces
    ]
    if shown and shown[0].meaning.folded == "face" and not shown[0].adjunct:  # whosever it is: `half of her face`
        return [shown[0].meaning.phrase]
    for first, second in pairwise(shown[:2]):
        face, person = (first, second) if first.meaning.folded in words.lists.faces else (second, first)
        of_person = ContentType.CHARACTER in person.meaning.content and face.piece == person.piece
        opens = face is first or (person.modifier and not face.adjunct)
        if face.meaning.folded in words.lists.faces and of_person and opens:
            return [face.meaning.phrase]
    return []


def _of_no_person(mentions: Iterable[Mention]) -> bool:
    """Whether a portrait is one of a cat or a house."""
    shown = [m for m in mentions if m.meaning.content and not m.modifier and not m.meaning.weak]
    for first, second in pairwise(shown):
        if ContentType.PORTRAIT in first.meaning.content:
            return not second.adjunct and first.piece == second.piece and _PEOPLE.isdisjoint(second.meaning.content)
    return False


def _contents(mention: Mention) -> tuple[ContentType, ...]:
    """`girls` are a group where `girl` is a character."""
    several = mention.plural and ContentType.CHARACTER in mention.meaning.content
    return (ContentType.GROUP,) if several else mention.meaning.content


def _people_together(mentions: Iterable[Mention]) -> list[str]:
    """Two people joined by `and`, counted as `1girl, 1boy`, or one who does something to the other; else none."""
    people = [m for m in mentions if ContentType.CHARACTER in m.meaning.content]
    counted = [m.meaning.phrase for m in people if m.meaning.phrase in ("1girl", "1boy")]
    if len(set(counted)) == 2:
        return counted[:2]
    named = [m for m in people if not (m.modifier or m.meaning.weak)]
    for first, second in pairwise(named):
        joined = second.joined and not first.joined and not second.adjunct
        together = first.piece == second.piece and (joined or (second.company and not first.adjunct))
        if together and first.meaning.phrase != second.meaning.phrase:
            return [first.meaning.phrase, second.meaning.phrase]
    return []


def _best(
    votes: Mapping[T, list[tuple[float, str]]], none: T, threshold: float, unwanted: Collection[T] = ()
) -> tuple[T, float, list[str]]:
    """The kind with the strongest votes, how far it leads (0 … 1), and the words that voted."""
    scores: dict[T, float] = {}
    for kind, cast in votes.items():
        strongest = max(weight for weight, _ in cast)
        rest = sum(weight for weight, _ in cast) - strongest
        scores[kind] = strongest + min(_MORE * rest, _MORE_AT_MOST) - (_AVOIDED if kind in unwanted else 0.0)
    best = max(scores, key=lambda kind: scores[kind], default=none)
    if scores.get(best, 0.0) < threshold:
        return none, 0.0, []
    second = max((score for kind, score in scores.items() if kind != best), default=0.0)
    sure = min(1.0, scores[best]) * (scores[best] / (scores[best] + max(0.0, second)))
    return best, round(sure, 3), [word for _, word in votes[best]]


def _quality(mentions: Sequence[Mention]) -> tuple[QualityLevel, list[str]]:
    """The finish that most quality words ask for, and these words."""
    said = {
        level: [mention.meaning.phrase for mention in mentions if mention.meaning.quality is level]
        for level in (QualityLevel.HIGH, QualityLevel.DRAFT)
    }
    level = max(said, key=lambda level: len(said[level]))
    return level, said[level]
