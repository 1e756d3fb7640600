"""Merging of partial records, which hold the facts of one source about a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .fields import MAX_EXAMPLES, MAX_TAGS, MAX_TRIGGER_SETS
from .kinds import ExamplePrompt, TriggerSet
from .metadata import ModelMetadata

_FIRST_WINS = (
    "source_id",
    "description",
    "strength",
    "strength_range",
    "preview_path",
    "creator",
    "license_notes",
    "sha256",
    "autov2",
    "autov3",
    "title",
)

EMPTY = ModelMetadata(model_id="", name="")


def merge(partials: Sequence[ModelMetadata]) -> ModelMetadata:
    """Return one record with joined lists and tags, the surest base model, and the first value of other fields."""
    partials = [part for part in partials if part is not EMPTY]
    if len(partials) <= 1:
        return partials[0] if partials else EMPTY
    fields: dict[str, Any] = {
        name: next((value for part in partials if (value := getattr(part, name))), getattr(EMPTY, name))
        for name in _FIRST_WINS
    }
    tags: dict[str, int] = {}
    sets: dict[tuple[str, ...], TriggerSet] = {}
    examples: dict[str, ExamplePrompt] = {}
    for part in partials:
        for tag, count in part.tags.items():
            tags[tag] = max(count, tags.get(tag, 0))
        for item in part.trigger_sets:
            sets.setdefault(tuple(word.casefold() for word in item.words), item)
        for example in part.example_prompts:
            examples.setdefault(example.prompt, example)
    fields["strength_from_text"] = next(
        (p.strength_from_text for p in partials if p.strength or p.strength_range), False
    )
    findings = [finding for part in partials if (finding := part.findings.get("base_model"))]
    if findings:
        best = max(findings, key=lambda finding: finding.confidence)
        fields |= {"base_model": best.value, "findings": {"base_model": best}}
    return ModelMetadata(
        model_id="",
        name="",
        tags=dict(list(tags.items())[:MAX_TAGS]),
        trigger_sets=tuple(sets.values())[:MAX_TRIGGER_SETS],
        example_prompts=tuple(examples.values())[:MAX_EXAMPLES],
        **fields,
    )
