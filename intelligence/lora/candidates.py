"""LoRAs that might be applied: how sure each is to be right for the prompt, and which words speak for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..learning.preferences import Preference
from ..models import Architecture, Family, ModelMetadata
from ..models.fields import MAX_TAGS, MAX_TRIGGER_SETS
from ..models.kinds import CLOSE_FAMILIES, DISTILLED
from ..prompt import ArtisticStyle, PromptAnalysis
from ..records import Reason, Source
from .lora_library import Library
from .lora_messages import LoRAMessage
from .search.documents import DESCRIPTION, EXAMPLES, MAX_TEXT_CHARACTERS, Listed, trigger_phrases
from .search.features import postings_of
from .search.index import STYLES
from .search.ranker import Hits, Ranked
from .search.tokens import Query, digest, is_common, is_meta, tokens
from .search.traits import Identity
from .target_model import TargetModel

STYLE_GAIN = 0.35
"""Probability that a style LoRA gains where the prompt asks for its style, shared by all LoRAs of that style."""
NAME_GAIN = 0.8
"""Probability that a LoRA gains whose name the prompt contains, shared by all whose name it contains as much of."""
HALF_GAIN_SIZE = 20
"""LoRAs of a library in which a name gains half of that: what CivitAI's thousands tell of chance does not hold there,
where a person put the one LoRA of its kind. Set by hand, as are the factors here."""
OTHER_STYLE_FACTOR = 0.4
UNKNOWN_BASE_FACTOR = 0.8
OTHER_FAMILY_FACTOR = 0.8
MAX_RATING_SHIFT = 0.25
"""Farthest that ratings move a confidence."""
MIN_NAME_GAIN = 0.01
"""Gains below this are not looked for."""
MIN_COSINE = 0.5
"""Cosine from which similarity of meaning is a reason."""
MIN_MENTIONED_IDF = 4.0
"""From which on a tag, or a word of a description, is worth a mention."""


@dataclass(frozen=True)
class Candidate:
    """A LoRA that might be applied."""

    model: ModelMetadata
    confidence: float
    """The probability that a person would call it right for this prompt and base model, 0 … 1, shifted by ratings."""
    words: frozenset[str]
    """Telling tokens of the prompt that speak for it."""
    relevance: float = 0.0
    """The confidence before base model and ratings."""
    matching: tuple[str, ...] = ()
    """Words and phrases of the prompt that speak for it, for people."""
    reasons: tuple[Reason, ...] = ()
    incompatibility: Reason | None = None
    """Reason why it is never applied to this base model by itself; None where it may be."""

    @cached_property
    def identity(self) -> Identity:
        """Features that versions of one LoRA share."""
        return Identity(self.model)


def find_candidates(
    library: Library,
    analysis: PromptAnalysis,
    query: Query,
    hits: Hits,
    base: TargetModel,
    ratings: Mapping[str, Preference],
    min_confidence: float,
) -> tuple[list[Candidate], list[Candidate]]:
    """Return the LoRAs that the prompt speaks for, best first: those that fit the base model, and those that do not.

    Args:
        query: the analysis' words.
        hits: what `library` has for them.
        ratings: model id → what ratings say.
        min_confidence: confidence from which a LoRA is a candidate; of one that does not fit, its relevance.
    """
    judge = _Judge(library, analysis, query, hits)
    fitting = judge.judge_fitting(base, ratings, min_confidence)
    others = judge.judge_others(min_confidence)
    judge.read([one.place for one in (*fitting, *others)])
    against, _ = library.incompatibilities(base)
    return (
        [candidate for one in fitting if (candidate := judge.explain(one, None))],
        [candidate for one in others if (candidate := judge.explain(one, against[one.place]))],
    )


class _Judged(NamedTuple):
    place: int
    """In the library."""
    score: float
    relevance: float
    confidence: float
    reasons: list[Reason]
    """Other than words."""


class _Judge:
    def __init__(self, library: Library, analysis: PromptAnalysis, query: Query, hits: Hits) -> None:
        self.library, self.query, self.hits = library, query, hits
        self.requested = analysis.intent.artistic_style
        styles = library.index.loras.style
        self.styles = styles.tolist()
        same = int(np.count_nonzero(styles[hits.fitting] == STYLES.index(self.requested)))
        self.style_gain = STYLE_GAIN * analysis.intent.confidence / max(1, same)
        self.avoided = {style for style in ArtisticStyle if query.avoided.intersection(tokens(style.value))}
        self.idf = {word: hits.postings.idf[word] for word in query.tokens if word in query.telling}
        self.models: dict[int, ModelMetadata] = {}
        self.mentioned: dict[int, set[int]] = {}

    def judge_fitting(
        self, base: TargetModel, ratings: Mapping[str, Preference], min_confidence: float
    ) -> list[_Judged]:
        found = self.hits.ranked
        name_gains = self._name_gains(found)
        gain = max(name_gains.values(), default=0.0) + self.style_gain + (MAX_RATING_SHIFT if ratings else 0.0)
        judged = []
        for place, probability, score in _rows(found):
            if probability + gain < min_confidence:
                break
            relevance, reasons = self._styled(place, 1 - (1 - probability) * (1 - name_gains.get(place, 0.0)))
            model = self.library.models[place]
            confidence = relevance
            if (rating := ratings.get(model.model_id)) is not None and rating.advantage:
                advantage = max(-1.0, min(1.0, rating.advantage))
                confidence = max(0.0, min(1.0, confidence + MAX_RATING_SHIFT * advantage))
                message = LoRAMessage.RATED_ONCE if rating.count == 1 else LoRAMessage.RATED
                evidence = {"stars": rating.stars, "count": rating.count}
                reasons.append(_reason("ratings", Source.LEARNED, message, abs(advantage), **evidence))
            factor, against = base_factor(model, base)
            confidence *= factor
            reasons += [against] if against else []
            if confidence >= min_confidence:
                judged.append(_Judged(place, score, relevance, confidence, reasons))
        return sorted(judged, key=lambda one: (-round(one.confidence, 6), -one.score, one.place))

    def judge_others(self, min_confidence: float) -> list[_Judged]:
        judged = []
        for place, probability, score in _rows(self.hits.others):
            relevance, reasons = self._styled(place, probability)
            if relevance >= min_confidence:
                judged.append(_Judged(place, score, relevance, relevance, reasons))
        return judged

    def _name_gains(self, ranked: Ranked) -> dict[int, float]:
        size = int(np.count_nonzero(self.hits.fitting))
        most = NAME_GAIN * HALF_GAIN_SIZE / (HALF_GAIN_SIZE + size)
        if most < MIN_NAME_GAIN:
            return {}
        named = {place: found for place in ranked.loras.tolist() if (found := self._named_by(place))[1]}
        gains = {}
        for place, (words, share) in named.items():
            rivals = sum(other >= share and bool(words & theirs) for theirs, other in named.values())
            gains[place] = most * share**2 / rivals
        return gains

    def _named_by(self, place: int) -> tuple[frozenset[str], float]:
        """The telling words of a name that the prompt has, and their share of it by information."""
        name = dict.fromkeys(tokens(self.library.models[place].name[:MAX_TEXT_CHARACTERS]))
        telling = [word for word in name if not is_meta(word) and not is_common(word)]
        words = self.query.telling.intersection(telling)
        if not words:
            return words, 0.0
        index = self.library.index
        idf = dict(zip(telling, index.idf[index.find(digest(telling))].tolist(), strict=True))
        return words, sum(idf[word] for word in words) / sum(idf.values())

    def _styled(self, place: int, probability: float) -> tuple[float, list[Reason]]:
        """The probability after the styles that the prompt asks for and avoids, with the reasons."""
        style, requested = STYLES[self.styles[place]], self.requested
        if style is ArtisticStyle.UNSPECIFIED:
            return probability, []
        names = {"style": style.value, "requested": requested.value}
        if style in self.avoided:
            message = LoRAMessage.AVOIDED_STYLE
        elif requested is style:
            gained = 1 - (1 - probability) * (1 - self.style_gain)
            return gained, [_reason("style", Source.PROMPT, LoRAMessage.STYLE, self.style_gain, **names)]
        elif requested is ArtisticStyle.UNSPECIFIED:
            return probability, []
        else:
            message = LoRAMessage.OTHER_STYLE
        reason = _reason("style", Source.PROMPT, message, 1 - OTHER_STYLE_FACTOR, **names)
        return probability * OTHER_STYLE_FACTOR, [reason]

    def read(self, places: list[int]) -> None:
        """Read some LoRAs, and which words stand in their descriptions and example prompts; done before `explain`."""
        self.models = dict(zip(places, self.library.read([self.library.models[n] for n in places]), strict=True))
        postings = self.hits.postings
        found = postings_of(postings, np.array(places, np.int64))
        mentioned = found.columns[:, [DESCRIPTION, EXAMPLES]].any(axis=1)
        keys = postings.keys[found.key]
        self.mentioned = {place: set(keys[mentioned & (found.at == n)].tolist()) for n, place in enumerate(places)}

    def explain(self, judged: _Judged, incompatibility: Reason | None) -> Candidate | None:
        """Return the candidate with the words that speak for it; None where nothing but common words do."""
        model = self.models[judged.place]
        reasons: list[Reason] = []
        phrases: list[str] = []
        words = self._trigger_words(model, reasons) | self._name_words(model, reasons)
        words |= self._tag_words(model, reasons, phrases)
        self._mentioned_words(judged.place, words, reasons)
        cosine = 0.0 if self.hits.similarity is None else float(self.hits.similarity[judged.place].max())
        if cosine >= MIN_COSINE:
            reasons.append(_reason("meaning", Source.PROMPT, LoRAMessage.MEANING, cosine))
        style = STYLES[self.styles[judged.place]]
        if not reasons and (style is ArtisticStyle.UNSPECIFIED or style is not self.requested):
            return None
        telling = frozenset(word for word in words if not is_common(word))
        written = dict.fromkeys((*phrases, *sorted(self.query.written.get(word, word) for word in telling)))
        return Candidate(
            model=model,
            confidence=judged.confidence,
            words=telling,
            relevance=judged.relevance,
            matching=tuple(word for word in written if not any(word != o and word in o.split() for o in written)),
            reasons=(*reasons, *judged.reasons),
            incompatibility=incompatibility,
        )

    def _has(self, phrase: tuple[str, ...]) -> bool:
        return self.query.has(phrase) or "".join(phrase) in self.query.keys

    def _trigger_words(self, model: ModelMetadata, reasons: list[Reason]) -> set[str]:
        best: tuple[float, list[tuple[str, ...]], set[str]] = (0.0, [], set())
        for trigger in model.trigger_sets[:MAX_TRIGGER_SETS]:
            phrases = trigger_phrases(trigger)
            found = {word for phrase in phrases for word in phrase if word in self.idf}
            whole = [phrase for phrase in phrases if self._has(phrase) and not all(map(is_meta, phrase))]
            information = sum(self.idf[word] for word in found) + len(whole)
            if information > best[0]:
                best = information, whole, found | {word for phrase in whole for word in phrase}
        information, whole, words = best
        if information:
            message = LoRAMessage.TRIGGER_WORDS if whole else LoRAMessage.SOME_TRIGGER_WORDS
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
        known, number = self.mentioned[place], self.hits.postings.number
        words = {word for word, idf in self.idf.items() if idf > MIN_MENTIONED_IDF and number[word] in known} - found
        if words:
            quoted = self._quoted(words)
            reasons.append(_reason("text", Source.PROMPT, LoRAMessage.TEXT, self._weight(words), words=quoted))

    def _weight(self, words: Iterable[str]) -> float:
        return sum(self.idf.get(word, 0.0) for word in words) / (sum(self.idf.values()) or 1.0)

    def _as_written(self, phrase: tuple[str, ...]) -> str:
        return " ".join(self.query.written.get(token, token) for token in phrase)

    def _quoted(self, words: Iterable[str]) -> str:
        rarest = sorted(words, key=lambda word: (-self.idf.get(word, 0.0), word))[:5]
        return ", ".join(f"“{self.query.written.get(word, word)}”" for word in rarest)


def _rows(ranked: Ranked) -> Iterable[tuple[int, float, float]]:
    return zip(ranked.loras.tolist(), ranked.probabilities.tolist(), ranked.scores.tolist(), strict=True)


def _reason(setting: str, source: Source, message: LoRAMessage, weight: float, **arguments: Any) -> Reason:
    return Reason.of(setting, source, message, weight=round(min(1.0, weight), 3), **arguments)


def base_factor(model: Listed, base: TargetModel) -> tuple[float, Reason | None]:
    """Return what the base model leaves of a confidence, and why."""
    if base.architecture is Architecture.UNKNOWN and base.measure(model) is None:
        reason = _reason("base model", Source.MODEL, LoRAMessage.UNKNOWN_CHECKPOINT, 1 - UNKNOWN_BASE_FACTOR)
        return UNKNOWN_BASE_FACTOR, reason
    families = {model.family, base.family}
    related = len(families) == 1 or Family.UNKNOWN in families or families & DISTILLED
    if related or any(families <= close for close in CLOSE_FAMILIES):
        return 1.0, None
    names = {"family": model.family.value, "base": base.family.value}
    reason = _reason("base model", Source.MODEL_FAMILY, LoRAMessage.OTHER_FAMILY, 1 - OTHER_FAMILY_FACTOR, **names)
    return OTHER_FAMILY_FACTOR, reason
