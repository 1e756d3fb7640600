"""Decide what kind of picture is wanted: style, content and quality, by votes and the rules of three tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, Generic, NamedTuple, TypeVar

from ..records import Reason, Source
from .analysis import ArtisticStyle, ConceptCategory, ContentType, Intent, QualityLevel
from .phrases import Phrases
from .prompt_messages import PromptMessage
from .sentence_rules import PEOPLE, Mention, Rule
from .vocabulary import Meaning

T = TypeVar("T")
Vote = tuple[float, str]
"""Weight, and the phrase that casts it."""
Votes = defaultdict[T, list[Vote]]

_FURTHER_SHARE = 0.2
"""Share of their weight that a kind's other votes add to its strongest one."""
_MAX_FURTHER = 0.2
_UNWANTED_LOSS = 0.5
"""Score that a kind loses when the negative prompt names it."""
_STYLE_THRESHOLD, _CONTENT_THRESHOLD = 0.35, 0.1
_ASIDE = 0.4
"""Share of a style's weight that remains where its phrase only accompanies or describes another."""
_LATER_LOSS = 0.12
"""Loss of weight of a mention for each one before it."""
_FIRST_DETAIL, _FURTHER_DETAIL, _MAX_DETAILS = 0.35, 0.2, 0.95
"""Weight of hair, clothes, poses or `she` for a person whom nothing else names: of the first, each other, and all."""
_MAX_QUOTED = 4
_PERSONS = PEOPLE | {ContentType.PORTRAIT}
_COUNTED_PEOPLE = ("1girl", "1boy")
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
"""People in a picture are its content, wherever they are."""


class Verdict(NamedTuple, Generic[T]):
    """The kind that won."""

    kind: T
    confidence: float = 0.0
    """0 … 1: how strong it is, and how far ahead of the next."""
    words: Sequence[str] = ()
    """The phrases that voted for it."""


class Scene(NamedTuple):
    """A prompt as the rules of VOTE_RULES and VIEW_RULES see it."""

    mentions: Sequence[Mention]
    phrases: Phrases
    lists: Mapping[str, frozenset[str]]


class VoteRule(NamedTuple):
    """A row of VOTE_RULES."""

    evidence: Callable[[Scene], list[Vote]]
    """Votes for `content`; none: the rule does not apply."""
    content: ContentType
    example: str
    absorbs: ContentType | None = None
    drops: ContentType | None = None


class ViewRule(NamedTuple):
    """A row of VIEW_RULES."""

    content: ContentType
    """The content that has won."""
    evidence: Callable[[Scene], list[str]]
    """Evidence for `becomes`; none: the rule does not apply."""
    becomes: ContentType | None
    """None: the content that comes next."""
    example: str


def read_intent(
    mentions: Sequence[Mention], avoided: Sequence[Meaning], phrases: Phrases
) -> tuple[Intent, tuple[Reason, ...]]:
    """Return the intent behind `mentions`, with its reasons, given what is negated or in the negative prompt."""
    style = _style(mentions, avoided)
    content = _content(Scene(mentions, phrases, phrases.vocabulary.lists))
    if style.kind is ArtisticStyle.ABSTRACT and content.kind is ContentType.UNSPECIFIED:
        content = Verdict(ContentType.ABSTRACT, style.confidence, style.words)
    confidence = round((style.confidence + content.confidence) / 2, 3)
    reasons = (
        *_reasons("style", PromptMessage.STYLE, style),
        *_reasons("content", PromptMessage.CONTENT, content),
        *_reasons("quality", PromptMessage.QUALITY, _quality(mentions)),
    )
    return Intent(style.kind, content.kind, confidence), reasons


def _reasons(setting: str, message: PromptMessage, verdict: Verdict[Any]) -> tuple[Reason, ...]:
    if not verdict.words:
        return ()
    kind, words = verdict.kind.value, [f"“{word}”" for word in dict.fromkeys(verdict.words)]
    arguments = {"kind": kind, "words": ", ".join(words[:_MAX_QUOTED])}
    return (Reason.of(setting, Source.PROMPT, message, value=kind, weight=verdict.confidence, **arguments),)


def _winner(votes: Votes[T], none: T, threshold: float, unwanted: Collection[T] = ()) -> Verdict[T]:
    """The kind with the highest score; `none` where that is below `threshold`."""
    scores: dict[T, float] = {}
    for kind, cast in votes.items():
        weights = [weight for weight, _ in cast]
        strongest = max(weights)
        further = min(_FURTHER_SHARE * (sum(weights) - strongest), _MAX_FURTHER)
        scores[kind] = strongest + further - (_UNWANTED_LOSS if kind in unwanted else 0.0)
    best = max(scores, key=scores.__getitem__, default=none)
    if scores.get(best, 0.0) < threshold:
        return Verdict(none)
    second = max((score for kind, score in scores.items() if kind != best), default=0.0)
    confidence = min(1.0, scores[best]) * (scores[best] / (scores[best] + max(0.0, second)))
    return Verdict(best, round(confidence, 3), [phrase for _, phrase in votes[best]])


def _style(mentions: Sequence[Mention], avoided: Sequence[Meaning]) -> Verdict[ArtisticStyle]:
    shown = any(m.meaning.content or m.meaning.category is ConceptCategory.CHARACTER for m in mentions)
    unwanted = {style for meaning in avoided for style, weight in meaning.styles if weight == 1.0}
    votes: Votes[ArtisticStyle] = defaultdict(list)
    for mention in mentions:
        aside = mention.modifier or (mention.adjunct and mention.meaning.content)
        stressed = max(0.0, mention.weight) * (_ASIDE if aside else 1.0)
        for style, weight in mention.meaning.styles:
            if shown or weight == 1.0 or not mention.meaning.quality:  # quality tags alone ask for no look
                votes[style].append((weight * stressed, mention.meaning.phrase))
    return _winner(votes, ArtisticStyle.UNSPECIFIED, _STYLE_THRESHOLD, unwanted)


def _quality(mentions: Sequence[Mention]) -> Verdict[QualityLevel]:
    said = {
        level: [mention.meaning.phrase for mention in mentions if mention.meaning.quality is level]
        for level in (QualityLevel.HIGH, QualityLevel.DRAFT)
    }
    level = max(said, key=lambda level: len(said[level]))
    return Verdict(level, 1.0, said[level])


def _content(scene: Scene) -> Verdict[ContentType]:
    """Return the main content of the picture, with the phrases that name it."""
    votes = _votes_of_mentions(scene.mentions)
    for rule in VOTE_RULES:
        if evidence := rule.evidence(scene):
            if rule.drops:
                votes.pop(rule.drops, None)
            votes[rule.content] += [(weight * _CONTENT_WEIGHT[rule.content], phrase) for weight, phrase in evidence]
            if rule.absorbs:
                votes[rule.content] += votes.pop(rule.absorbs, [])
    verdict = _winner(votes, ContentType.UNSPECIFIED, _CONTENT_THRESHOLD)
    for view in VIEW_RULES:
        if verdict.kind is view.content and (words := view.evidence(scene)):
            if view.becomes:
                return Verdict(view.becomes, verdict.confidence, [*words, *verdict.words])
            del votes[verdict.kind]
            return _winner(votes, ContentType.UNSPECIFIED, _CONTENT_THRESHOLD)
    return verdict


def _votes_of_mentions(mentions: Sequence[Mention]) -> Votes[ContentType]:
    votes: Votes[ContentType] = defaultdict(list)
    order = 0
    for mention in mentions:
        if mention.meaning.content:
            weight = max(0.0, mention.weight) / (1 + _LATER_LOSS * order)
            for row in MENTION_WEIGHTS:
                if row.condition(mention):
                    weight *= row.effect
            several = mention.plural and ContentType.CHARACTER in mention.meaning.content  # `girls` are a group
            for content in (ContentType.GROUP,) if several else mention.meaning.content:
                votes[content].append((weight * _CONTENT_WEIGHT[content], mention.meaning.phrase))
            order += not mention.modifier
    return votes


def _details(scene: Scene) -> dict[str, Mention | None]:
    pronouns = scene.lists["person_words"]
    called = not all(pronouns.isdisjoint(clause.words) for clause in scene.phrases.clauses)
    found: dict[str, Mention | None] = {"person": None} if called else {}
    thing = -1  # index of the last piece that named something else
    for mention in scene.mentions:
        meaning = mention.meaning
        detail = meaning.category is ConceptCategory.CHARACTER or meaning.folded in scene.lists["person_views"]
        if meaning.content:
            thing = mention.clause
        elif detail and mention.weight > 0 and not (thing == mention.clause and meaning.phrase.endswith("ing")):
            found.setdefault(meaning.phrase, mention)
    return found


def _unworn_clothes(scene: Scene) -> list[Vote]:
    """Details that are all clothes, in a sentence that opens with them, so that no person is shown."""
    details = _details(scene)
    shown = (m for m in scene.mentions if m.meaning.content or m.meaning.category is ConceptCategory.CHARACTER)
    first = next((mention for mention in shown if not mention.modifier), None)
    if first is None or first.adjunct or not first.meaning.garment or not scene.phrases.function_word_count:
        return []
    return _weigh(details) if all(mention and mention.meaning.garment for mention in details.values()) else []


def _details_of_person(scene: Scene) -> list[Vote]:
    return [] if _unworn_clothes(scene) else _weigh(_details(scene))


def _weigh(details: Mapping[str, Mention | None]) -> list[Vote]:
    weight = min(_MAX_DETAILS, _FIRST_DETAIL + _FURTHER_DETAIL * (len(details) - 1))
    return [(weight, next(iter(details)))] if details else []


def _people_together(scene: Scene) -> list[Vote]:
    """Two people joined by `and`, counted as `1girl, 1boy`, or one who does something to the other."""
    people = [m for m in scene.mentions if ContentType.CHARACTER in m.meaning.content]
    counted = [m.meaning.phrase for m in people if m.meaning.phrase in _COUNTED_PEOPLE]
    if len(set(counted)) == 2:
        return [(1.0, " and ".join(counted[:2]))]
    named = [m for m in people if not (m.modifier or m.meaning.weak)]
    for first, second in pairwise(named):
        joined = second.joined and not first.joined and not second.adjunct
        together = first.clause == second.clause and (joined or (second.company and not first.adjunct))
        if together and first.meaning.phrase != second.meaning.phrase:
            return [(1.0, f"{first.meaning.phrase} and {second.meaning.phrase}")]
    return []


def _alone(scene: Scene) -> list[Vote]:
    """Words that say that a person is alone; without weight where they do not name the person."""
    if _people_together(scene):
        return []
    solo = [m for m in scene.mentions if m.meaning.folded in scene.lists["solo_words"]]
    return [(max(0.0, m.weight) if m.meaning.content else 0.0, m.meaning.phrase) for m in solo]


def _close_view(scene: Scene) -> list[str]:
    return [] if _full_figure(scene) else _listed(scene, "close_ups") or _face_first(scene)


def _full_figure(scene: Scene) -> list[str]:
    return _listed(scene, "full_figures")


def _listed(scene: Scene, name: str) -> list[str]:
    return sorted({mention.meaning.folded for mention in scene.mentions} & scene.lists[name])


def _face_first(scene: Scene) -> list[str]:
    """The face that is the first thing shown: `the woman's face`, `face of a monk`."""
    faces = scene.lists["faces"]
    shown = [
        m
        for m in scene.mentions
        if (m.meaning.content and not (m.modifier and _PERSONS.isdisjoint(m.meaning.content)))
        or m.meaning.folded in faces
    ]
    if shown and shown[0].meaning.folded == "face" and not shown[0].adjunct:  # no matter whose: `half of her face`
        return [shown[0].meaning.phrase]
    if len(shown) < 2:
        return []
    first, second = shown[:2]
    face, person = (first, second) if first.meaning.folded in faces else (second, first)
    of_person = ContentType.CHARACTER in person.meaning.content and face.clause == person.clause
    opens = face is first or (person.modifier and not face.adjunct)
    return [face.meaning.phrase] if face.meaning.folded in faces and of_person and opens else []


def _portrait_of_thing(scene: Scene) -> list[str]:
    shown = [m for m in scene.mentions if m.meaning.content and not m.modifier and not m.meaning.weak]
    for first, second in pairwise(shown):
        if ContentType.PORTRAIT in first.meaning.content:
            sitter = not second.adjunct and first.clause == second.clause
            return [second.meaning.phrase] if sitter and _PERSONS.isdisjoint(second.meaning.content) else []
    return []


MENTION_WEIGHTS: tuple[Rule[Mention, float], ...] = (
    Rule(lambda mention: mention.adjunct, 0.4, "a cat in a [train]"),
    Rule(lambda mention: mention.meaning.weak, 0.4, "a [knife]"),
    Rule(lambda mention: mention.modifier, 0.25, "[lemon] bottle"),
)
"""Factors on a mention's weight; all that apply are multiplied."""

VOTE_RULES: tuple[VoteRule, ...] = (
    VoteRule(_unworn_clothes, ContentType.OBJECT, "a vintage leather jacket on a hook"),
    VoteRule(_details_of_person, ContentType.CHARACTER, "long hair, red dress, smile, night sky"),
    VoteRule(_people_together, ContentType.GROUP, "a knight and a wizard", absorbs=ContentType.CHARACTER),
    VoteRule(_alone, ContentType.CHARACTER, "1girl, solo, crowd", drops=ContentType.GROUP),
)
"""Votes of the whole prompt; all rules that apply, from top to bottom."""

VIEW_RULES: tuple[ViewRule, ...] = (
    ViewRule(ContentType.CHARACTER, _close_view, ContentType.PORTRAIT, "close-up of a woman"),
    ViewRule(ContentType.PORTRAIT, _full_figure, None, "portrait, full body, knight"),
    ViewRule(ContentType.PORTRAIT, _portrait_of_thing, None, "portrait of a cat"),
)
"""Changes to the content that won; the first that applies decides."""
