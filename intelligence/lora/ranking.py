"""How well each LoRA of a library meets a prompt.

A LoRA's confidence is 1 − Π(1 − eᵢ) over independent pieces of evidence eᵢ, each bounded by what it is worth alone
(`WORTH`), then lowered for what speaks against it. The bounds are set by hand, in the order that was measured for such
evidence (coverage of one trigger set first, then names, then tags, then text); they are no calibrated probabilities.
A word counts by its information: nothing for words like `lora` or `style`, little for words of every prompt, and for
the others log(1 + N/n) / log(1 + N/2) at most 1, where n of the library's N LoRAs have it: in a library of four all
rare words count fully, in one of a thousand a word that four hundred share hardly counts.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..prompt import ArtisticStyle, PromptAnalysis, parse
from ..prompt import vocabulary as prompt_vocabulary
from ..prompt.words import terms
from ..records import Reason
from ..registry import Architecture, Family, FamilyFinding, LoRAKind, ModelMetadata
from .strength import Strengths
from .text import BM25, Query, is_common, is_everyday, is_meta, query, tokens

WORTH = {"trigger": 0.85, "name": 0.75, "text": 0.25, "style": 0.35}
"""The most that a kind of evidence counts alone."""
TAG_WORTH = {
    LoRAKind.STYLE: 0.55,
    LoRAKind.EFFECT: 0.55,
    LoRAKind.CONCEPT: 0.45,
    LoRAKind.CHARACTER: 0.2,
    LoRAKind.UNKNOWN: 0.4,
}
"""The same for tags: a character's training tags name all that stands around it."""
COMMON_INFORMATION = 0.3
FURTHER_TAGS = 0.25
"""What tags beyond the best one add, of their own value."""
LEADING_PHRASE = 0.7
"""Coverage of a trigger set whose first phrase the prompt has, whatever else the set holds."""
OTHER_STYLE = 0.4
UNKNOWN_BASE = 0.7
OTHER_FAMILY = 0.8
CLOSE_FAMILIES = ({Family.ILLUSTRIOUS, Family.NOOBAI, Family.NOOBAI_VPRED},)
DISTILLED = {Family.TURBO, Family.LIGHTNING, Family.HYPER, Family.LCM, Family.DMD2}
"""Families that say how a checkpoint samples, not what its LoRAs were trained on."""
MAX_SHIFT = 0.25
"""How far ratings move a confidence."""
CANDIDATES = 100
"""LoRAs that are looked at closely, after BM25."""
BLOCKED = 20
"""The same for those that do not fit the base model, which are only named."""

_MAX_TAGS = 100
_MAX_EXAMPLES = 20
_MAX_DESCRIPTION = 4_000
_MAX_EXAMPLE = 2_000
"""Characters."""


@dataclass(frozen=True)
class Features:
    """One LoRA, prepared once per registry revision."""

    model: ModelMetadata
    name: tuple[str, ...]
    """Tokens of the name that say something."""
    trigger_sets: tuple[tuple[tuple[str, ...], ...], ...]
    """Per trigger set, its phrases as tokens."""
    tags: dict[tuple[str, ...], float]
    """Tags as tokens, each with its frequency relative to the most frequent, 0 … 1."""
    tag_phrases: frozenset[tuple[str, ...]]
    """The keys of `tags`."""
    text: tuple[tuple[str, ...], tuple[str, ...]]
    """Tokens of the description, and of the example prompts."""
    tokens: frozenset[str]
    """Every informative token of any field."""
    style: ArtisticStyle | None
    is_style: bool


@dataclass(frozen=True)
class Evidence:
    """How one LoRA meets the prompt."""

    features: Features
    confidence: float
    relevance: float
    """Confidence before the base model and ratings were looked at."""
    score: float
    """BM25; orders equal confidences."""
    words: frozenset[str]
    """Informative tokens of the prompt that speak for it."""
    matching: tuple[str, ...]
    reasons: tuple[Reason, ...]
    trigger_set: int | None
    """Index of the trigger set that the prompt covers best."""


class Library:
    """The index over a registry's LoRAs: features, document frequencies, BM25."""

    def __init__(self, models: Sequence[ModelMetadata]) -> None:
        self.features = [_features(model) for model in sorted(models, key=lambda m: (m.name, m.model_id))]
        self._named: dict[str, ModelMetadata] = {}
        for model in sorted(models, key=lambda m: (m.problem is not None, m.model_id)):
            self._named.setdefault(_plain(model.name), model)
        self._named.update((_plain(model.model_id.partition(":")[2]), model) for model in models)
        frequency = Counter(token for features in self.features for token in features.tokens)
        self._information = {token: self._measure(token, count) for token, count in frequency.items()}
        self._bm25 = BM25([_fields(features) for features in self.features])
        self.strengths = Strengths(models)

    @property
    def usable(self) -> int:
        """How many of the LoRAs can be applied to some model."""
        return sum(features.model.problem is None for features in self.features)

    def named(self, name: str) -> ModelMetadata | None:
        """The LoRA that a tag means: by its path under the folder, else by its file name; of several the first."""
        return self._named.get(_plain(name))

    def _measure(self, token: str, count: int) -> float:
        if is_meta(token):
            return 0.0
        size = len(self.features)
        rarity = min(1.0, math.log(1 + size / count) / math.log(1 + max(1, size) / 2))
        return min(rarity, COMMON_INFORMATION) if is_common(token) else rarity

    def information(self, token: str) -> float:
        """0 … 1: how much one word tells about which LoRA is meant."""
        known = self._information.get(token)
        return self._measure(token, 1) if known is None else known

    def tag_information(self, token: str) -> float:
        """The same for a word of tags, descriptions and examples, which also speak of all that stands around."""
        known = self.information(token)
        return min(known, COMMON_INFORMATION) if is_everyday(token) else known

    def search(
        self, analysis: PromptAnalysis, base: FamilyFinding, shifts: Mapping[str, Shift]
    ) -> list[tuple[Evidence, str | None]]:
        """The LoRAs that the prompt speaks for at all, each with what keeps it from this base model (None: nothing).

        At most `CANDIDATES` that fit and `BLOCKED` that do not, unordered.
        """
        if not self.features:
            return []
        asked = prompt_query(analysis)
        informative = {token for token in asked.tokens if not is_meta(token)}
        style = analysis.intent.artistic_style
        extra = set() if style is ArtisticStyle.UNSPECIFIED else set(tokens(style.value))
        scores = self._bm25.scores(informative | extra)
        avoided = frozenset(tokens(analysis.negative_prompt[:20_000]))
        weight = sum(self.information(token) for token in informative if not is_common(token))
        reader = _Reader(self, analysis, asked, avoided, weight)
        found: list[tuple[Evidence, str | None]] = []
        room = {True: CANDIDATES, False: BLOCKED}
        for number in np.argsort(-scores, kind="stable"):
            if scores[number] <= 0 or not room[True]:
                break
            features = self.features[number]
            reason = obstacle(features.model, base)
            if not room[reason is None]:
                continue
            room[reason is None] -= 1
            evidence = reader.read(features, float(scores[number]), shifts)
            if evidence is not None:
                found.append((evidence, reason))
        return found


@dataclass(frozen=True)
class Shift:
    """What ratings say of one LoRA: −1 … 1, and as a sentence."""

    advantage: float
    evidence: str


@dataclass
class _Reader:
    """One prompt, asked of one LoRA after the other."""

    library: Library
    analysis: PromptAnalysis
    asked: Query
    avoided: frozenset[str]
    weight: float
    """Information of all the prompt's words."""
    reasons: list[Reason] = field(default_factory=list)

    def read(self, features: Features, score: float, shifts: Mapping[str, Shift]) -> Evidence | None:
        """The evidence for one LoRA, or None where there is none."""
        self.reasons = []
        trigger, number, trigger_words = self._trigger(features)
        name, name_words = self._name(features)
        tag, tag_words, tag_phrases = self._tags(features)
        found = trigger_words | name_words | tag_words
        text = self._text(features, found)
        style = self._style(features)
        relevance = 1 - math.prod(1 - e for e in (trigger, name, tag, text, style))
        if relevance <= 0:
            return None
        relevance *= self._against(features)
        confidence = relevance
        shift = shifts.get(features.model.model_id)
        if shift is not None and shift.advantage:
            confidence += MAX_SHIFT * max(-1.0, min(1.0, shift.advantage))
            self._say("ratings", shift.evidence, abs(shift.advantage))
        words = frozenset(token for token in found if not is_common(token) and self.library.information(token) > 0)
        written = dict.fromkeys((*tag_phrases, *sorted(self.asked.written.get(token, token) for token in words)))
        return Evidence(
            features=features,
            confidence=max(0.0, min(1.0, confidence)),
            relevance=relevance,
            score=score,
            words=words,
            matching=tuple(word for word in written if not any(word != o and word in o.split() for o in written)),
            reasons=tuple(self.reasons),
            trigger_set=number,
        )

    def _say(self, what: str, evidence: str, weight: float) -> None:
        self.reasons.append(Reason(what, evidence, round(min(1.0, weight), 3)))

    def _covered(self, phrase: tuple[str, ...]) -> tuple[float, float]:
        """Information of a phrase, and the share of it that the prompt has (whole phrases fully, parts squared)."""
        whole = sum(self.library.information(token) for token in phrase)
        if whole == 0:
            return 0.0, 0.0
        if self.asked.has(phrase):
            return whole, 1.0
        part = sum(self.library.information(token) for token in phrase if token in self.asked.tokens)
        return whole, 0.95 * (part / whole) ** 2

    def _trigger(self, features: Features) -> tuple[float, int | None, set[str]]:
        best, best_number, best_words = 0.0, None, set[str]()
        for number, phrases in enumerate(features.trigger_sets):
            if not any(token in self.asked.tokens for phrase in phrases for token in phrase):
                continue
            measured = [self._covered(phrase) for phrase in phrases]
            total = sum(whole for whole, _ in measured)
            have = sum(whole * share for whole, share in measured)
            if total == 0 or have == 0:
                continue
            coverage = have / total
            if measured[0][1] > 0.9 and measured[0][0] > COMMON_INFORMATION:
                coverage = max(coverage, LEADING_PHRASE)
            value = WORTH["trigger"] * coverage**1.5 * min(1.0, have)
            if value > best:
                words = {token for phrase in phrases for token in phrase if token in self.asked.tokens}
                best, best_number, best_words = value, number, words
        if best_number is not None:
            self._say("trigger words", self._trigger_evidence(features.trigger_sets[best_number], best_words), best)
        return best, best_number, best_words

    def _trigger_evidence(self, phrases: tuple[tuple[str, ...], ...], words: set[str]) -> str:
        """The trigger words that the prompt has, as it writes them; where it has none whole, their words."""
        whole = [" ".join(self.asked.written.get(token, token) for token in p) for p in phrases if self.asked.has(p)]
        if not whole:
            return f"the prompt has a part of its trigger words, {self._quoted(words)}"
        return f"the prompt has its trigger words {', '.join(f'“{phrase}”' for phrase in whole[:3])}"

    def _name(self, features: Features) -> tuple[float, set[str]]:
        whole, share = self._covered(features.name)
        value = WORTH["name"] * share * min(1.0, whole * share)
        if value == 0:
            return 0.0, set()
        words = {token for token in features.name if token in self.asked.tokens}
        self._say("name", f"its name fits {self._quoted(words)}", value)
        return value, words

    def _tags(self, features: Features) -> tuple[float, set[str], list[str]]:
        values, words, phrases = [0.0], set[str](), list[str]()
        met = features.tag_phrases & self.asked.phrases
        for phrase in sorted(met, key=lambda phrase: (-features.tags[phrase], phrase)):
            information = max(self.library.tag_information(token) for token in phrase)
            values.append(math.sqrt(features.tags[phrase]) * information)
            if information > COMMON_INFORMATION:
                words.update(phrase)
                phrases.append(" ".join(self.asked.written.get(token, token) for token in phrase))
        if not words:
            return 0.0, set(), []
        value = TAG_WORTH.get(features.model.lora_kind, 0.0) * min(
            1.0, max(values) + FURTHER_TAGS * (sum(values) - max(values))
        )
        self._say("tags", f"tagged {', '.join(f'“{phrase}”' for phrase in phrases[:4])}", value)
        return value, words, phrases

    def _text(self, features: Features, found: set[str]) -> float:
        shared = {token for token in self.asked.tokens & features.tokens if not is_common(token)}
        value = sum(self.library.tag_information(token) for token in shared)
        value = WORTH["text"] * value / self.weight if self.weight else 0.0
        if shared - found and value > 0:
            self._say("text", f"its description and examples mention {self._quoted(shared - found)}", value)
        return value

    def _style(self, features: Features) -> float:
        wanted = self.analysis.intent
        if not features.is_style or features.style is None or features.style is not wanted.artistic_style:
            return 0.0
        value = WORTH["style"] * wanted.confidence
        self._say("style", f"a style LoRA of the style that the prompt asks for, {features.style}", value)
        return value

    def _against(self, features: Features) -> float:
        """What a style that the prompt does not want leaves of the confidence."""
        if not features.is_style or features.style is None:
            return 1.0
        wanted = self.analysis.intent.artistic_style
        if set(tokens(features.style.value)) & self.avoided:
            self._say("style", f"the negative prompt avoids {features.style}", 1 - OTHER_STYLE)
            return OTHER_STYLE
        if wanted in (ArtisticStyle.UNSPECIFIED, features.style):
            return 1.0
        self._say("style", f"its style is {features.style}, the prompt asks for {wanted}", 1 - OTHER_STYLE)
        return OTHER_STYLE

    def _quoted(self, words: set[str]) -> str:
        return ", ".join(f"“{self.asked.written.get(word, word)}”" for word in sorted(words)[:5])


def _plain(name: str) -> str:
    path = unicodedata.normalize("NFC", name).replace("\\", "/").casefold().strip("/ ")
    return path.removesuffix(".safetensors")


def prompt_query(analysis: PromptAnalysis) -> Query:
    """The words of an analysis: its text, and its concepts (in English where the prompt is Spanish)."""
    segments = analysis.segments or parse(analysis.prompt).segments
    concepts = [phrase for phrases in analysis.concepts.values() for phrase in phrases]
    return query(["".join(segment.text for segment in segments if segment.weight > 0), *concepts])


def obstacle(model: ModelMetadata, base: FamilyFinding) -> str | None:
    """Why this LoRA is never applied by itself to this base model, or None."""
    if (reason := unusable(model, base)) is not None:
        return reason
    if model.lora_kind is LoRAKind.SPEED:
        return "a speed LoRA: the parameters choose it, never words"
    if model.architecture is Architecture.UNKNOWN:
        return "which architecture it was made for is not known; name it with a <lora:…> tag to use it all the same"
    if base.architecture is Architecture.UNKNOWN and model.architecture is not Architecture.SDXL:
        made_for = model.architecture.upper()
        return f"made for {made_for}; the checkpoint's architecture is not known, and then only SDXL LoRAs are tried"
    return None


def unusable(model: ModelMetadata, base: FamilyFinding) -> str | None:
    """Why this LoRA cannot be applied to this base model even when the prompt names it, or None."""
    if model.problem is not None:
        return f"the file cannot be used: {model.problem}"
    if not model.local_path:
        return "it is known but not on this machine"
    unknown = Architecture.UNKNOWN
    if unknown not in (model.architecture, base.architecture) and model.architecture is not base.architecture:
        return f"made for {model.architecture.upper()}, the checkpoint is {base.architecture.upper()}"
    return None


def base_factor(model: ModelMetadata, base: FamilyFinding) -> tuple[float, Reason | None]:
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


def _features(model: ModelMetadata) -> Features:
    name = tuple(token for token in dict.fromkeys(tokens(model.name)) if not is_meta(token))
    sets = tuple(tuple(phrase for word in trigger.words if (phrase := tokens(word))) for trigger in model.trigger_sets)
    ranked = sorted(model.tags.items(), key=lambda item: (-item[1], item[0]))[:_MAX_TAGS]
    most = max((count for _, count in ranked), default=1)
    tags: dict[tuple[str, ...], float] = {}
    for tag, count in ranked:
        if phrase := tokens(tag):
            tags.setdefault(phrase, max(0, count) / max(1, most))
    description = tokens(model.description[:_MAX_DESCRIPTION])
    examples = tuple(t for e in model.example_prompts[:_MAX_EXAMPLES] for t in tokens(e.prompt[:_MAX_EXAMPLE]))
    words = {*name, *description, *examples}
    words.update(token for phrases in (*sets, tags) for phrase in phrases for token in phrase)
    informative = frozenset(token for token in words if not is_meta(token))
    style = _style_of(model)
    named_style = {"style", "estilo"} & set(
        tokens(" ".join((model.name, *(w for s in model.trigger_sets for w in s.words))))
    )
    kind = model.lora_kind
    is_style = kind is LoRAKind.STYLE or (kind is LoRAKind.UNKNOWN and bool(named_style))
    return Features(model, name, sets, tags, frozenset(tags), (description, examples), informative, style, is_style)


def _style_of(model: ModelMetadata) -> ArtisticStyle | None:
    """The style that the LoRA's name, trigger words and most frequent tags speak of."""
    votes: Counter[ArtisticStyle] = Counter()
    known = prompt_vocabulary.load(None)
    most = max(model.tags.values(), default=1) or 1
    texts = [(model.name, 1.0), *((word, 1.0) for trigger in model.trigger_sets for word in trigger.words)]
    texts += [
        (tag, count / most) for tag, count in sorted(model.tags.items(), key=lambda item: (-item[1], item[0]))[:10]
    ]
    for text, weight in texts:
        for match in known.find(terms(text)):
            for style, strength in match.meaning.styles:
                votes[style] += weight * strength  # type: ignore[assignment]
    if not votes:
        return None
    best = min(votes, key=lambda style: (-votes[style], style))
    return best if votes[best] >= 0.5 else None


def _fields(features: Features) -> list[tuple[float, Sequence[str]]]:
    """The weighted fields that BM25 reads."""
    description, examples = features.text
    return [
        (3.0, features.name),
        (3.0, [token for phrases in features.trigger_sets for phrase in phrases for token in phrase]),
        (2.0, [token for phrase in features.tags for token in phrase]),
        (2.0, tokens(features.style.value) if features.style and features.is_style else ()),
        (1.0, description),
        (0.5, examples),
    ]
