"""LoRAs that might be applied: how sure each is to be right for the prompt, and which words speak for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..models import Family, ModelMetadata
from ..models.fields import MAX_TAGS, MAX_TRIGGER_SETS
from ..models.kinds import CLOSE_FAMILIES, DISTILLED
from ..models.metadata import without_copies
from ..prompt import ArtisticStyle, PromptAnalysis
from ..records import Reason, Source
from .lora_library import Library
from .lora_messages import LoRAMessage
from .own_phrases import OWN
from .search.decision import decision, knowledge
from .search.documents import DESCRIPTION, EXAMPLES, MAX_TEXT_CHARACTERS, Listed, trigger_phrases
from .search.features import postings_of
from .search.index import STYLES
from .search.misreadings import most_probable
from .search.naming_evidence import Matches, evidence
from .search.ranker import FIRST_PASS, Ranked, candidates, look_at, rank, rough_scores
from .search.tokens import Query, is_common, is_meta, tokens
from .search.traits import Identity
from .target_model import TargetModel, unknown_warning
from .taste import Taste

MAX_RANKED_OTHERS, MAX_JUDGED_OTHERS = 20, 5
"""LoRAs that do not fit the base model and are ranked and judged all the same, where a phrase of the prompt
names one of them, and not many LoRAs else."""
MIN_MENTIONED_IDF = 4.0
"""From which on a tag, or a word of a description, is worth a mention."""


@dataclass(frozen=True)
class Candidate:
    """A LoRA that might be applied."""

    model: ModelMetadata
    confidence: float
    """The probability that a person asked for it, shifted by ratings; beyond 0 … 1 where these say much."""
    words: frozenset[str]
    """Telling tokens of the prompt that speak for it."""
    relevance: float = 0.0
    """The confidence before ratings, 0 … 1."""
    standing: float = 0.0
    """See `Ranked.weights`."""
    matching: tuple[str, ...] = ()
    """Words and phrases of the prompt that speak for it, for people."""
    reasons: tuple[Reason, ...] = ()
    incompatibility: Reason | None = None
    """Reason why it is never applied to this base model by itself; None where it may be."""

    @property
    def ratings(self) -> Reason | None:
        """The first of the reasons that ratings are."""
        return next((reason for reason in self.reasons if reason.source is Source.LEARNED), None)

    @cached_property
    def identity(self) -> Identity:
        """Features that versions of one LoRA share."""
        return Identity(self.model)


class Depth(NamedTuple):
    """Reach of a search for candidates."""

    ranked: int
    """LoRAs of the ranking, beside those that the prompt names in full."""
    confidence: float = 0.0
    """Least confidence of a candidate."""
    minimum: float | None = None
    """Confidence from which a LoRA is applied, or told of where it does not fit; None: none is."""


def find_candidates(
    library: Library,
    analysis: PromptAnalysis,
    query: Query,
    base: TargetModel,
    taste: Taste,
    depth: Depth,
) -> tuple[list[Candidate], list[Candidate]]:
    """Return the LoRAs that the prompt may ask for: those that fit the base model, and those that do not.

    Both are best first, by the ranker's score and the decision's sum together. Copies of one file are one LoRA.

    Args:
        query: the analysis' words.
        taste: what ratings say.
    """
    against, fits = library.incompatibilities(base)
    judge = _Judge(library, analysis, query, fits)
    judged, others = judge.judge(depth)
    judged = rated(judged, taste, depth.minimum)
    fitting = [one for one in judged if max(one.confidence, one.relevance) >= depth.confidence]
    others = [one for one in others if depth.minimum is not None and one.relevance >= depth.minimum]
    fitting, others = judge.without_copies(fitting), judge.without_copies(others)
    judge.read([one.place for one in (*fitting, *others)])
    return (
        [judge.explain(one, None, base_warning(library.models[one.place], base)) for one in fitting],
        [judge.explain(one, against[one.place]) for one in others],
    )


class _Judged(NamedTuple):
    place: int
    """In the library."""
    relevance: float
    confidence: float
    standing: float = 0.0
    """See `Ranked.weights`."""
    probability: float = 0.0
    """By the decision, whatever the prompt says of styles."""
    ratings: tuple[Reason, ...] = ()


def rated(judged: list[_Judged], taste: Taste, minimum: float | None) -> list[_Judged]:
    """Return the LoRAs with their confidences moved by ratings."""
    opinions = taste.opinions([(one.place, one.relevance, one.standing) for one in judged], minimum)
    return [
        one._replace(confidence=opinion.score, ratings=opinion.reasons)
        for one, opinion in zip(judged, opinions, strict=True)
    ]


class _Judge:
    def __init__(self, library: Library, analysis: PromptAnalysis, query: Query, fits: NDArray[np.bool_]) -> None:
        self.library, self.query, self.postings = library, query, library.match_query(query)
        self.tag_style = analysis.tag_style
        self.requested = analysis.intent.artistic_style
        self.styles = library.index.loras.style
        self.avoided = {style for style in ArtisticStyle if query.avoided.intersection(tokens(style.value))}
        self.matches = Matches(query, library.index, fits, knowledge(), self.requested)
        self.idf = {word: self.postings.idf[word] for word in query.tokens if word in query.telling}
        self.models: dict[int, ModelMetadata] = {}
        self.mentioned: dict[int, set[int]] = {}

    def judge(self, depth: Depth) -> tuple[list[_Judged], list[_Judged]]:
        """The first LoRAs of the ranking, and those that the prompt names in full; likewise those that do not fit,
        where the prompt names one of them."""
        rough = rough_scores(self.postings, self.tag_style)
        sides = [(self.matches, FIRST_PASS, depth.ranked)]
        if depth.minimum is not None:
            others = self.matches.among(~self.matches.fitting)
            sides += [(others, MAX_RANKED_OTHERS, MAX_JUDGED_OTHERS)] if others.names_few else []
        closely = [(*candidates(rough, one.fitting, most).tolist(), *one.named.tolist()) for one, most, _ in sides]
        looked_at = look_at(
            self.postings, np.array(sorted({place for places in closely for place in places}), np.int64)
        )
        judged: list[list[_Judged]] = [[], []]
        for side, (matches, most, count) in enumerate(sides):
            found = rank(self.postings, self.tag_style, matches.fitting, count=most, rough=rough, looked_at=looked_at)
            judged[side] = self._judge(matches, found, count)
        return judged[0], judged[1]

    def _judge(self, matches: Matches, ranked: Ranked, count: int) -> list[_Judged]:
        """The first `count` of a ranking, and the LoRAs that the prompt names in full, each by itself.

        Their order is that of the ranker's score and of the decision's sum, which together beat either.
        """
        loras = np.array([*dict.fromkeys([*ranked.loras[:count].tolist(), *matches.named.tolist()])], np.int64)
        if not len(loras):
            return []
        given = evidence(matches, self.postings, ranked, loras, self.tag_style)
        sums = decision().trees(given)
        scores = np.full(len(loras), ranked.scores.min(initial=0.0) - 1)
        scores[: min(count, len(ranked.loras))] = ranked.scores[:count]
        order = np.argsort(-(scores + sums), kind="stable")
        told = np.minimum(decision().probability(sums, self.tag_style), most_probable(given))[order]
        each = zip(loras[order].tolist(), told.tolist(), ranked.weights(loras[order]).tolist(), strict=True)
        return [self._judged(*one) for one in each]

    def without_copies(self, judged: list[_Judged]) -> list[_Judged]:
        """The LoRAs, and of copies of one file the first."""
        kept = {id(model) for model in without_copies(self.library.models[one.place] for one in judged)}
        return [one for one in judged if id(self.library.models[one.place]) in kept]

    def _judged(self, place: int, probability: float, standing: float) -> _Judged:
        """The LoRA as probable as it is; not at all where the prompt rules its style out."""
        if self.avoided and STYLES[self.styles[place]] in self.avoided:
            return _Judged(place, 0.0, 0.0)
        return _Judged(place, probability, probability, standing, probability)

    def _style_reasons(self, judged: _Judged) -> tuple[Reason, ...]:
        """Reasons that the style which the prompt asks for gives."""
        style, requested = STYLES[self.styles[judged.place]], self.requested
        names = {"style": style.value, "requested": requested.value}
        if style is ArtisticStyle.UNSPECIFIED:
            return ()
        if style in self.avoided:
            return (_reason("style", Source.PROMPT, LoRAMessage.AVOIDED_STYLE, 1.0, **names),)
        if requested is style:
            return (_reason("style", Source.PROMPT, LoRAMessage.STYLE, judged.probability, **names),)
        if requested is ArtisticStyle.UNSPECIFIED:
            return ()
        return (_reason("style", Source.PROMPT, LoRAMessage.OTHER_STYLE, 1 - judged.probability, **names),)

    def read(self, places: list[int]) -> None:
        """Read some LoRAs, and which words stand in their descriptions and example prompts; done before `explain`."""
        self.models = dict(zip(places, self.library.read([self.library.models[n] for n in places]), strict=True))
        found = postings_of(self.postings, np.array(places, np.int64))
        mentioned = found.columns[[DESCRIPTION, EXAMPLES]].any(axis=0)
        keys = self.postings.keys[found.key]
        self.mentioned = {place: set(keys[mentioned & (found.at == n)].tolist()) for n, place in enumerate(places)}

    def explain(self, judged: _Judged, incompatibility: Reason | None, warning: Reason | None = None) -> Candidate:
        """The candidate, with the words that speak for it."""
        model = self.models[judged.place]
        reasons: list[Reason] = []
        phrases: list[str] = []
        words = self._trigger_words(model, reasons) | self._name_words(model, reasons)
        words |= self._tag_words(model, reasons, phrases)
        self._mentioned_words(judged.place, words, reasons)
        if not reasons:
            reasons.append(_reason("text", Source.PROMPT, LoRAMessage.ALIKE, judged.relevance))
        telling = frozenset(word for word in words if not is_common(word))
        written = dict.fromkeys((*phrases, *sorted(self.query.written.get(word, word) for word in telling)))
        return Candidate(
            model=model,
            confidence=judged.confidence,
            words=telling,
            relevance=judged.relevance,
            standing=judged.standing,
            matching=tuple(word for word in written if not any(word != o and word in o.split() for o in written)),
            reasons=(*reasons, *self._style_reasons(judged), *([warning] if warning else []), *judged.ratings),
            incompatibility=incompatibility,
        )

    def _has(self, phrase: tuple[str, ...]) -> bool:
        return "".join(phrase) in self.query.places or self.query.has(phrase)

    def _trigger_words(self, model: ModelMetadata, reasons: list[Reason]) -> set[str]:
        best: tuple[float, list[tuple[str, ...]], set[str], bool] = (0.0, [], set(), False)
        for trigger in model.trigger_sets[:MAX_TRIGGER_SETS]:
            phrases = trigger_phrases(trigger)
            found = {word for phrase in phrases for word in phrase if word in self.idf}
            whole = [phrase for phrase in phrases if self._has(phrase) and not all(map(is_meta, phrase))]
            information = sum(self.idf[word] for word in found) + len(whole)
            if information > best[0]:
                best = information, whole, found | {w for phrase in whole for w in phrase}, trigger.source == OWN
        information, whole, words, own = best
        if information:
            message = LoRAMessage.TRIGGER_WORDS if whole else LoRAMessage.SOME_TRIGGER_WORDS
            message = LoRAMessage.OWN_WORDS if own else message
            quoted = ", ".join(f"“{self._as_written(phrase)}”" for phrase in whole[:3]) or self._quoted(words)
            reasons.append(_reason("trigger words", Source.PROMPT, message, self._weight(words), words=quoted))
        return words

    def _name_words(self, model: ModelMetadata, reasons: list[Reason]) -> set[str]:
        found: set[str] = set()
        for text in (model.name, model.title):
            phrase = tokens(text[:MAX_TEXT_CHARACTERS])
            found |= {word for word in phrase if word in self.idf}
            found |= {word for word in phrase if not is_meta(word) and self._has(phrase)}
        if found:
            quoted = self._quoted(found)
            reasons.append(_reason("name", Source.PROMPT, LoRAMessage.NAME, self._weight(found), words=quoted))
        return found

    def _tag_words(self, model: ModelMetadata, reasons: list[Reason], phrases: list[str]) -> set[str]:
        found: set[str] = set()
        ranked = sorted(model.tags, key=lambda tag: (-model.tags[tag], tag))[:MAX_TAGS]
        for phrase in dict.fromkeys(tokens(tag[:MAX_TEXT_CHARACTERS]) for tag in ranked):
            rarest = max((self.idf.get(word, 0.0) for word in phrase), default=0)
            if phrase and self._has(phrase) and rarest > MIN_MENTIONED_IDF:
                found.update(phrase)
                phrases.append(self._as_written(phrase))
        if found:
            quoted = ", ".join(f"“{phrase}”" for phrase in phrases[:4])
            reasons.append(_reason("tags", Source.PROMPT, LoRAMessage.TAGS, self._weight(found), tags=quoted))
        return found

    def _mentioned_words(self, place: int, found: set[str], reasons: list[Reason]) -> None:
        known, number = self.mentioned[place], self.postings.number
        words = {word for word, idf in self.idf.items() if idf > MIN_MENTIONED_IDF and number[word] in known} - found
        if words:
            quoted = self._quoted(words)
            reasons.append(_reason("text", Source.PROMPT, LoRAMessage.TEXT, self._weight(words), words=quoted))

    def _weight(self, words: Iterable[str]) -> float:
        return sum(self.idf.get(word, 0.0) for word in words) / (sum(self.idf.values()) or 1.0)

    def _as_written(self, phrase: tuple[str, ...]) -> str:
        return " ".join(dict.fromkeys(self.query.written.get(token, token) for token in phrase))

    def _quoted(self, words: Iterable[str]) -> str:
        rarest = sorted(words, key=lambda word: (-self.idf.get(word, 0.0), word))
        said = list(dict.fromkeys(self.query.written.get(word, word) for word in rarest))
        return ", ".join(f"“{word}”" for word in said[:5])


def _reason(setting: str, source: Source, message: LoRAMessage, weight: float, **arguments: Any) -> Reason:
    return Reason.of(setting, source, message, weight=round(min(1.0, weight), 3), **arguments)


def base_warning(model: Listed, base: TargetModel) -> Reason | None:
    """Return why a LoRA may look different on this base model, or None."""
    if (warning := unknown_warning(model, base)) is not None:
        return warning
    families = {model.family, base.family}
    related = len(families) == 1 or Family.UNKNOWN in families or families & DISTILLED
    if related or any(families <= close for close in CLOSE_FAMILIES):
        return None
    names = {"family": model.family.value, "base": base.family.value}
    return _reason("base model", Source.MODEL_FAMILY, LoRAMessage.OTHER_FAMILY, 0.5, **names)
