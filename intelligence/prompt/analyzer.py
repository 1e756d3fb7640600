"""Read what a prompt asks for: by rules, with a local language model's help where one is configured."""

from __future__ import annotations

from pathlib import Path

from ..config import OllamaConfig, data_folder, require
from ..records import Reason, Source
from .analysis import PromptAnalysis
from .concepts import read_concepts
from .intent import read_intent
from .measures import find_quality_family, measure_complexity, measure_tag_style
from .phrases import MAX_WORDS, find_phrases
from .prompt_messages import PromptMessage
from .prompt_syntax import finite_weights, parse
from .sentence_rules import read_mentions
from .vocabulary_files import load_vocabulary

MAX_PROMPT_CHARACTERS = 50_000
USER_VOCABULARY = "vocabulary.json"
"""Name of the user's own vocabulary in the data folder."""


class PromptAnalyzer:
    """Text → PromptAnalysis.

    Args:
        ollama: a local Ollama server that may add concepts to what the rules find; None: rules alone.
        vocabulary_path: a JSON file that extends the built-in vocabulary; it need not exist, and is read again when it
            changes. None: `vocabulary.json` in the data folder.
    """

    def __init__(self, ollama: OllamaConfig | None = None, vocabulary_path: Path | None = None) -> None:
        self.ollama = ollama
        self.vocabulary_path = vocabulary_path or data_folder() / USER_VOCABULARY

    def analyze(self, prompt: str, negative_prompt: str = "") -> PromptAnalysis:
        """Return what `prompt` asks for.

        Raises:
            InvalidInputError: the prompt is empty, no text, or longer than 50,000 characters; or the user's vocabulary
                cannot be read as one.
        """
        for name, text in (("prompt", prompt), ("negative_prompt", negative_prompt)):
            _check_text(name, text)
        require(bool(prompt.strip()), "the prompt is empty: describe the picture that you want")
        vocabulary = load_vocabulary(self.vocabulary_path)
        parsed = parse(prompt)
        segments, notes = finite_weights(parsed)
        phrases = find_phrases(segments, vocabulary)
        mentions = read_mentions(phrases)
        avoided = read_mentions(find_phrases(parse(negative_prompt).segments, vocabulary))
        concepts = read_concepts(phrases)
        intent, reasons = read_intent(mentions, avoided, phrases)
        complexity, category, complexity_reason = measure_complexity(concepts)
        family, family_reasons = find_quality_family(phrases)
        reasons = (*reasons, complexity_reason, *family_reasons)
        if phrases.language == "es":
            reasons += (Reason.of("language", Source.PROMPT, PromptMessage.SPANISH, value="es", otherwise="English"),)
        analysis = PromptAnalysis(
            prompt=prompt,
            negative_prompt=negative_prompt,
            text=parsed.text,
            segments=segments,
            concepts=concepts,
            intent=intent,
            complexity=complexity,
            complexity_category=category,
            lora_tags=parsed.lora_tags,
            quality_family=family,
            tag_style=measure_tag_style(phrases),
            language=phrases.language,
            reasons=reasons,
            notes=(*notes, PromptMessage.WORDS_LEFT_OUT.format(count=MAX_WORDS)) if phrases.is_cut else notes,
        )
        if self.ollama is None:
            return analysis
        from .ollama import enrich

        return enrich(analysis, self.ollama)


def _check_text(name: str, text: object) -> None:
    require(isinstance(text, str), f"{name} must be text, got {type(text).__name__}")
    assert isinstance(text, str)
    require(
        len(text) <= MAX_PROMPT_CHARACTERS,
        f"{name} has {len(text):,} characters; shorten it to {MAX_PROMPT_CHARACTERS:,} or fewer",
    )
    require("\0" not in text, f"{name} contains a NUL character (at {text.find(chr(0))}); remove it")
    surrogate = next((i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff"), None) if not text.isascii() else None
    require(surrogate is None, f"{name} is not valid Unicode (lone surrogate at {surrogate}); paste it again as text")
