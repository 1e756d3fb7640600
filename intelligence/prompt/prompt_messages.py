"""Sentences of the prompt stage: why a prompt is read as it is, and what users should know about it."""

from __future__ import annotations

from ..records import Message


class PromptMessage(Message):
    """Reasons, then notes, then errors."""

    STYLE = "{kind}: the prompt says {words}"
    CONTENT = "{kind}: the prompt names {words}"
    QUALITY = "{kind}: the prompt asks for {words}"
    COMPLEXITY = "{complexity} ({score:.2f} of 1): {concepts} concepts of {kinds} kinds, {people} of them about people"
    QUALITY_FAMILY = "{family}: the prompt uses its quality tags {tags}"
    NEGATED = "the prompt does not want {words}"
    SPANISH = "Spanish: more of its words are Spanish than English"
    OLLAMA_CONCEPTS = "{model} (Ollama) added {concepts}"
    OLLAMA_STYLE = "{style}: so {model} (Ollama) reads it"
    OLLAMA_CONTENT = "{content}: so {model} (Ollama) reads it"

    HYPERNETWORK = "hypernetworks are not supported; the tag was taken out of the prompt"
    LORA_TAG_MALFORMED = "not a LoRA tag of the form <lora:name:strength>"
    LORA_TAG_TWICE = "this LoRA has a tag already; the first one counts"
    LORA_TAG_ALTERNATIVE = "it is one of alternatives {{a|b}}, which are not drawn here: write the tag that you want"
    LORA_TAG_SCHEDULED = "[a:b:step] is not carried out for LoRAs: write the tag outside of it for all steps"

    WORDS_LEFT_OUT = "Only the first {count:,} words were read for what they mean"
    WEIGHT_NOT_FINITE = "An attention weight is infinite or not a number; ComfyUI will make noise of it"
    LORA_TAG_DROPPED = "Not a LoRA tag of the form <lora:name:strength>, dropped: {tags}"
    LORA_STRENGTH_BOUNDED = "Strength bounded to ±{limit:g}: {tags}"
    EMBEDDING_NAMELESS = "ComfyUI cannot encode “embedding:” without a name; remove it"
    READ_LITERALLY = "ComfyUI reads {syntax} literally, as words of the prompt"
    OLLAMA_LEFT_OUT = "Ollama was left out: {cause}"

    EMPTY = "The prompt is empty: type what the picture should show."
    TOO_LONG = "`{name}` has {length:,} characters; shorten it to {most:,} or fewer"
    HAS_NUL = "`{name}` contains a NUL character (at {place}); remove it"
    NOT_UNICODE = "`{name}` is not valid Unicode (lone surrogate at {place}); paste it again as text"
