"""How well each LoRA of a library meets a prompt, and which words say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..models import Architecture, Family, FamilyFinding, ModelMetadata
from ..models.families import CLOSE_FAMILIES, DISTILLED
from ..models.fields import MAX_TAGS, MAX_TRIGGER_SETS
from ..prompt import ArtisticStyle, PromptAnalysis, parse
from ..records import Reason
from .lora_library import Library
from .search import ranker
from .search.documents import DESCRIPTION, EXAMPLES, MAX_PHRASES, MAX_TEXT, Listed
from .search.index import STYLES, Floats, Postings
from .search.tokens import Query, is_common, is_meta, query, tokens

STYLE_WORTH = 0.35
"""What a style LoRA of the very style that the prompt asks for gains by that alone, shared by all of that style."""
NAMED_WORTH = 0.8
"""What a LoRA gains whose name is what the prompt asks for, shared by all whose name says as much, in a handful."""
HANDFUL = 20
"""LoRAs of a library in which a name counts half of that: what CivitAI's thousands tell of chance does not hold there,
where somebody put the one LoRA of its kind. Set by hand, as are the factors here."""
OTHER_STYLE = 0.4
UNKNOWN_BASE = 0.8
OTHER_FAMILY = 0.8
MAX_SHIFT = 0.25
"""How far ratings move a confidence."""
LEAST_WORTH = 0.01
"""Gains below this are not looked for."""
BLOCKED = 20
"""LoRAs that do not fit the base model and are looked at all the same, to be named."""
ALIKE = 0.5
"""Cosine from which similarity of meaning is a reason."""
TELLING_IDF = 4.0
"""From which on a tag, or a word of a description, is worth a mention."""


@dataclass(frozen=True)
class Shift:
    """What ratings say of one LoRA: −1 … 1, and as a sentence."""

    advantage: float
    evidence: str


@dataclass(frozen=True)
class Evidence:
    """How one LoRA meets the prompt."""

    model: ModelMetadata
    confidence: float
    """The probability that a person would call it right for this prompt and base model, 0 … 1, shifted by ratings."""
    relevance: float
    """Before the base model and ratings were looked at."""
    words: frozenset[str]
    """Telling tokens of the prompt that speak for it."""
    matching: tuple[str, ...]
    reasons: tuple[Reason, ...]


def search(
    library: Library,
    analysis: PromptAnalysis,
    asked: Query,
    base: FamilyFinding,
    shifts: Mapping[str, Shift],
    least: float = 0.0,
    top_k: int = ranker.SECOND,
    similarity: Floats | None = None,
) -> tuple[list[Evidence], list[tuple[Evidence, str]]]:
    """The LoRAs that the prompt speaks for, best first: those that fit the base model, and those that do not, with why.

    Args:
        asked: the analysis' `prompt_query`.
        least: confidence (relevance of those that do not fit) from which a LoRA is told of.
        top_k: how many at most.
        similarity: `Library.similarity`.
    """
    met = library.match_query(asked)
    obstacles, fitting = library.obstacles(base)
    rough = ranker.rough(met, analysis.tag_style, similarity)
    ask = partial(ranker.rank, library.index, met, analysis.tag_style, scored=rough, similarity=similarity)
    reader = _Reader(library, analysis, asked, met, fitting, similarity)
    allowed = []
    ranked = _found(ask(fitting))
    named = reader.named(ranked, int(np.count_nonzero(fitting)))
    gain = max(named.values(), default=0.0) + reader.style_worth + (MAX_SHIFT if shifts else 0.0)
    for found in ranked:
        if found.probability + gain < least:
            break
        judged = reader.judge(found, base, shifts, named.get(found.place, 0.0))
        if judged.confidence >= least:
            allowed.append(judged)
    allowed.sort(key=lambda one: (-round(one.confidence, 6), -one.found.score, one.found.place))
    blocked = []
    if _near(rough, ~fitting):
        for found in _found(ask(~fitting, BLOCKED)):
            judged, obstacle = reader.judge(found, None, {}), obstacles[found.place]
            if judged.confidence >= least and obstacle is not None:
                blocked.append((judged, obstacle))
    reader.look_up([one.found.place for one in allowed] + [one.found.place for one, _ in blocked])
    told = (evidence for one in allowed if (evidence := reader.explain(one)) is not None)
    return list(islice(told, top_k)), [(e, why) for one, why in blocked if (e := reader.explain(one)) is not None]


class _Found(NamedTuple):
    place: int
    """In the library."""
    probability: float
    score: float


class _Judged(NamedTuple):
    found: _Found
    relevance: float
    confidence: float
    reasons: tuple[Reason, ...]
    """Beside the words."""


def _near(rough: Floats, loras: NDArray[np.bool_]) -> bool:
    """Whether any of `loras` is among those that the prompt speaks for most."""
    best = rough[loras].max(initial=0.0)
    return bool(best > 0 and np.count_nonzero(rough > best) < ranker.SECOND)


def _found(ranked: ranker.Ranked) -> list[_Found]:
    columns = (ranked.loras.tolist(), ranked.probabilities.tolist(), ranked.scores.tolist())
    return [_Found(*one) for one in zip(*columns, strict=True)]


class _Reader:
    """One prompt, asked of one LoRA after the other."""

    def __init__(
        self,
        library: Library,
        analysis: PromptAnalysis,
        asked: Query,
        met: Postings,
        fitting: NDArray[np.bool_],
        similarity: Floats | None,
    ) -> None:
        self.library = library
        self.similarity = similarity
        self.asked = asked
        self.met = met
        self.mentioned: dict[int, set[int]] = {}
        self.models: dict[int, ModelMetadata] = {}
        self.wanted = analysis.intent.artistic_style
        same = library.index.loras.style[fitting] == STYLES.index(self.wanted)
        self.style_worth = STYLE_WORTH * analysis.intent.confidence / max(1, int(np.count_nonzero(same)))
        avoided = set(tokens(analysis.negative_prompt[:20_000]))
        self.avoided = {style for style in ArtisticStyle if set(tokens(style.value)) & avoided}
        words = [word for word in asked.tokens if not is_meta(word)]
        idf = library.index.idf
        self.number = dict(zip(words, library.index.find(words).tolist(), strict=True))
        self.idf = {word: float(idf[n]) if n >= 0 else 0.0 for word, n in self.number.items()}

    def named(self, ranked: Sequence[_Found], size: int) -> dict[int, float]:
        """What each LoRA of a small library gains by its name.

        Args:
            size: how many may be chosen.
        """
        worth = NAMED_WORTH * HANDFUL / (HANDFUL + size)
        if worth < LEAST_WORTH:
            return {}
        said = {found.place: told for found in ranked if (told := self._said_of_name(found.place))[1]}
        gains = {}
        for place, (words, share) in said.items():
            rivals = sum(other >= share and bool(words & theirs) for theirs, other in said.values())
            gains[place] = worth * share**2 / rivals
        return gains

    def _said_of_name(self, place: int) -> tuple[set[str], float]:
        """The telling words of a name that the prompt has, and their share of it by information."""
        name = tokens(self.library.models[place].name[:MAX_TEXT])
        telling = list(dict.fromkeys(word for word in name if not is_meta(word) and not is_common(word)))
        idf = dict(zip(telling, self.library.index.idf[self.library.index.find(telling)].tolist(), strict=True))
        met = {word for word in telling if word in self.asked.tokens}
        return met, sum(idf[word] for word in met) / sum(idf.values()) if met else 0.0

    def judge(
        self, found: _Found, base: FamilyFinding | None, shifts: Mapping[str, Shift], named: float = 0.0
    ) -> _Judged:
        """What the prompt's style, the base model and ratings make of a probability."""
        model = self.library.models[found.place]
        relevance, reasons = self._styled(found._replace(probability=1 - (1 - found.probability) * (1 - named)))
        confidence = relevance
        shift = shifts.get(model.model_id)
        if shift is not None and shift.advantage:
            confidence = max(0.0, min(1.0, confidence + MAX_SHIFT * max(-1.0, min(1.0, shift.advantage))))
            reasons.append(_reason("ratings", shift.evidence, abs(shift.advantage)))
        if base is not None:
            factor, against = base_factor(model, base)
            confidence *= factor
            reasons += [against] if against else []
        return _Judged(found, relevance, confidence, tuple(reasons))

    def _styled(self, found: _Found) -> tuple[float, list[Reason]]:
        style = self.library.index.style(found.place)
        if style is ArtisticStyle.UNSPECIFIED:
            return found.probability, []
        if style in self.avoided:
            return found.probability * OTHER_STYLE, [
                _reason("style", f"the negative prompt avoids {style}", 1 - OTHER_STYLE)
            ]
        if self.wanted is style:
            value = self.style_worth
            evidence = f"a style LoRA of the style that the prompt asks for, {style}"
            return 1 - (1 - found.probability) * (1 - value), [_reason("style", evidence, value)]
        if self.wanted is ArtisticStyle.UNSPECIFIED:
            return found.probability, []
        evidence = f"its style is {style}, the prompt asks for {self.wanted}"
        return found.probability * OTHER_STYLE, [_reason("style", evidence, 1 - OTHER_STYLE)]

    def look_up(self, places: list[int]) -> None:
        """Read some LoRAs, and which words stand in their descriptions and example prompts; done before `explain`."""
        self.models = dict(zip(places, self.library.read([self.library.models[n] for n in places]), strict=True))
        rows = self.met.of(np.array(places, np.int64))
        told = rows.columns[:, [DESCRIPTION, EXAMPLES]].any(axis=1)
        keys = self.met.keys[rows.key]
        self.mentioned = {place: set(keys[told & (rows.at == n)].tolist()) for n, place in enumerate(places)}

    def explain(self, judged: _Judged) -> Evidence | None:
        """Which words of the prompt met which words of the LoRA; None where nothing but common words did."""
        model = self.models[judged.found.place]
        reasons: list[Reason] = []
        phrases: list[str] = []
        words = self._triggers(model, reasons) | self._name(model, reasons)
        words |= self._tags(model, reasons, phrases)
        self._text(judged.found.place, words, reasons)
        self._meaning(judged.found.place, reasons)
        telling = frozenset(word for word in words if not is_common(word))
        style = self.library.index.style(judged.found.place)
        if not reasons and (style is ArtisticStyle.UNSPECIFIED or style is not self.wanted):
            return None
        written = dict.fromkeys((*phrases, *sorted(self.asked.written.get(word, word) for word in telling)))
        return Evidence(
            model=model,
            confidence=judged.confidence,
            relevance=judged.relevance,
            words=telling,
            matching=tuple(word for word in written if not any(word != o and word in o.split() for o in written)),
            reasons=(*reasons, *judged.reasons),
        )

    def _has(self, phrase: tuple[str, ...]) -> bool:
        return self.asked.has(phrase) or "".join(phrase) in self.asked.keys

    def _triggers(self, model: ModelMetadata, reasons: list[Reason]) -> set[str]:
        best: tuple[float, list[tuple[str, ...]], set[str]] = (0.0, [], set())
        for trigger in model.trigger_sets[:MAX_TRIGGER_SETS]:
            phrases = [phrase for word in trigger.words[:MAX_PHRASES] if (phrase := tokens(word[:MAX_TEXT]))]
            met = {word for phrase in phrases for word in phrase if word in self.idf}
            whole = [phrase for phrase in phrases if self._has(phrase) and not all(map(is_meta, phrase))]
            told = sum(self.idf[word] for word in met) + len(whole)
            if told > best[0]:
                best = told, whole, met | {word for phrase in whole for word in phrase}
        if best[0]:
            if best[1]:
                evidence = (
                    f"the prompt has its trigger words {', '.join(f'“{self._as_written(p)}”' for p in best[1][:3])}"
                )
            else:
                evidence = f"the prompt has a part of its trigger words, {self._quoted(best[2])}"
            reasons.append(_reason("trigger words", evidence, self._weight(best[2])))
        return best[2]

    def _name(self, model: ModelMetadata, reasons: list[Reason]) -> set[str]:
        met: set[str] = set()
        for text in (model.name, model.title):
            phrase = tokens(text[:MAX_TEXT])
            met |= {word for word in phrase if word in self.idf}
            met |= {word for word in phrase if not is_meta(word) and self._has(phrase)}
        if met:
            reasons.append(_reason("name", f"its name fits {self._quoted(met)}", self._weight(met)))
        return met

    def _tags(self, model: ModelMetadata, reasons: list[Reason], phrases: list[str]) -> set[str]:
        met: set[str] = set()
        ranked = sorted(model.tags.items(), key=lambda item: (-item[1], item[0]))[:MAX_TAGS]
        for phrase in dict.fromkeys(tokens(tag[:MAX_TEXT]) for tag, _ in ranked):
            if phrase and self._has(phrase) and max((self.idf.get(w, 0.0) for w in phrase), default=0) > TELLING_IDF:
                met.update(phrase)
                phrases.append(self._as_written(phrase))
        if met:
            evidence = f"tagged {', '.join(f'“{phrase}”' for phrase in phrases[:4])}"
            reasons.append(_reason("tags", evidence, self._weight(met)))
        return met

    def _text(self, place: int, met: set[str], reasons: list[Reason]) -> None:
        known = self.mentioned[place]
        shared = {word for word, idf in self.idf.items() if idf > TELLING_IDF and self.number[word] in known} - met
        if shared:
            evidence = f"its description and examples mention {self._quoted(shared)}"
            reasons.append(_reason("text", evidence, self._weight(shared)))

    def _meaning(self, place: int, reasons: list[Reason]) -> None:
        alike = 0.0 if self.similarity is None else float(self.similarity[place].max())
        if alike >= ALIKE:
            reasons.append(_reason("meaning", "what is written of it means much the same", alike))

    def _weight(self, words: set[str]) -> float:
        """Share of what the prompt's words tell."""
        return sum(self.idf.get(word, 0.0) for word in words) / (sum(self.idf.values()) or 1.0)

    def _as_written(self, phrase: tuple[str, ...]) -> str:
        return " ".join(self.asked.written.get(token, token) for token in phrase)

    def _quoted(self, words: set[str]) -> str:
        told = sorted(words, key=lambda word: (-self.idf.get(word, 0.0), word))[:5]
        return ", ".join(f"“{self.asked.written.get(word, word)}”" for word in told)


def _reason(what: str, evidence: str, weight: float) -> Reason:
    return Reason(what, evidence, round(min(1.0, weight), 3))


def prompt_query(analysis: PromptAnalysis) -> Query:
    """The words of an analysis: its text and its concepts; of a Spanish one its concepts alone, which are English."""
    segments = analysis.segments or parse(analysis.prompt).segments
    concepts = [phrase for phrases in analysis.concepts.values() for phrase in phrases]
    if concepts and analysis.language != "en":
        return query(concepts)
    return query(["".join(segment.text for segment in segments if segment.weight > 0), *concepts])


def base_factor(model: Listed, base: FamilyFinding) -> tuple[float, Reason | None]:
    """What the base model leaves of a confidence, with the reason."""
    if base.architecture is Architecture.UNKNOWN:
        evidence = "the checkpoint's architecture is not known"
        return UNKNOWN_BASE, Reason("base model", evidence, round(1 - UNKNOWN_BASE, 2))
    families = {model.family, base.family}
    if len(families) == 1 or Family.UNKNOWN in families or families & DISTILLED:
        return 1.0, None
    if any(families <= close for close in CLOSE_FAMILIES):
        return 1.0, None
    evidence = f"made for {model.family}, the checkpoint is {base.family}: it may look different there"
    return OTHER_FAMILY, Reason("base model", evidence, round(1 - OTHER_FAMILY, 2))
