"""Decide what kind of picture is wanted: style, content, quality."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..records import Reason, Source
from .analysis import ArtisticStyle, ConceptCategory, ContentType, Intent, QualityLevel
from .content import read_content
from .phrases import Phrases
from .prompt_messages import PromptMessage
from .sentence_rules import Mention
from .votes import Verdict, Votes

_STYLE_THRESHOLD = 0.35
_ASIDE = 0.4
"""Share of a style's weight that remains where its phrase only accompanies or describes another."""
_MAX_QUOTED = 4


def read_intent(
    mentions: tuple[Mention, ...], avoided: Sequence[Mention], phrases: Phrases
) -> tuple[Intent, tuple[Reason, ...]]:
    """Return the intent behind `mentions`, given those of the negative prompt (`avoided`), with its reasons."""
    style = _style(mentions, avoided)
    content = read_content(mentions, phrases)
    if style.kind is ArtisticStyle.ABSTRACT and content.kind is ContentType.UNSPECIFIED:
        content = Verdict(ContentType.ABSTRACT, style.confidence, style.words)
    confidence = round((style.confidence + content.confidence) / 2, 3)
    reasons = (
        *_reasons("style", PromptMessage.STYLE, style),
        *_reasons("content", PromptMessage.CONTENT, content),
        *_reasons("quality", PromptMessage.QUALITY, _quality(mentions)),
    )
    return Intent(style.kind, content.kind, confidence), reasons


def _style(mentions: Sequence[Mention], avoided: Sequence[Mention]) -> Verdict[ArtisticStyle]:
    shown = any(m.meaning.content or m.meaning.category is ConceptCategory.CHARACTER for m in mentions)
    unwanted = {style for mention in avoided for style, weight in mention.meaning.styles if weight == 1.0}
    votes: Votes[ArtisticStyle] = Votes()
    for mention in mentions:
        aside = mention.modifier or (mention.adjunct and mention.meaning.content)
        stressed = max(0.0, mention.weight) * (_ASIDE if aside else 1.0)
        for style, weight in mention.meaning.styles:
            if mention.meaning.quality and weight < 1.0 and not shown:  # quality tags alone ask for no look
                continue
            votes.add(style, weight * stressed, mention.meaning.phrase)
    return votes.winner(ArtisticStyle.UNSPECIFIED, _STYLE_THRESHOLD, unwanted)


def _quality(mentions: Sequence[Mention]) -> Verdict[QualityLevel]:
    """The finish that most quality words ask for."""
    said = {
        level: [mention.meaning.phrase for mention in mentions if mention.meaning.quality is level]
        for level in (QualityLevel.HIGH, QualityLevel.DRAFT)
    }
    level = max(said, key=lambda level: len(said[level]))
    return Verdict(level, 1.0, said[level])


def _reasons(
    setting: str, message: PromptMessage, verdict: Verdict[ArtisticStyle] | Verdict[ContentType] | Verdict[QualityLevel]
) -> tuple[Reason, ...]:
    """The reason for a verdict; none where no words support it."""
    if not verdict.words:
        return ()
    kind, weight, words = verdict.kind.value, verdict.confidence, _quoted(verdict.words)
    return (Reason.of(setting, Source.PROMPT, message, value=kind, weight=weight, kind=kind, words=words),)


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f"“{word}”" for word in list(dict.fromkeys(words))[:_MAX_QUOTED])
