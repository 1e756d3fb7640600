"""Purpose of a LoRA, by names, hub tags and description."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .kinds import Finding, LoRAKind
from .name_patterns import names_speed_lora, words_of

_TAGS = {
    **dict.fromkeys(("style", "styles", "art style", "artstyle", "artist", "art"), LoRAKind.STYLE),
    **dict.fromkeys(("character", "characters", "celebrity", "anime character", "person", "woman"), LoRAKind.CHARACTER),
    **dict.fromkeys(
        ("concept", "clothing", "poses", "pose", "objects", "object", "vehicle", "vehicles", "background", "action"),
        LoRAKind.CONCEPT,
    ),
    **dict.fromkeys(("animal", "buildings", "assets", "outfit", "food"), LoRAKind.CONCEPT),
    **dict.fromkeys(("effect", "effects", "tool", "lighting", "slider", "detailer", "enhancer", "fx"), LoRAKind.EFFECT),
    **dict.fromkeys(("speed", "distillation", "acceleration", "turbo lora", "lcm lora"), LoRAKind.SPEED),
}

_WORDS = (
    (re.compile(r"\b(?:art ?)?styles?\b|\bartstyle|\bpainting\b|\billustration\b|\baesthetics?\b"), LoRAKind.STYLE),
    (re.compile(r"\bsliders?\b|\bdetail(?:er|s|ed)?\b|\btweak\w*|\benhanc\w*|\bfx\b|\beffects?\b"), LoRAKind.EFFECT),
    (re.compile(r"\blighting\b|\bglow\w*|\bsparkl\w*|\bparticles\b|\bbokeh\b|\bblur\b"), LoRAKind.EFFECT),
    (re.compile(r"\bcharacters?\b|\bcosplay\b|\b[12](?:girl|boy)s?\b"), LoRAKind.CHARACTER),
    (re.compile(r"\boutfits?\b|\bclothes\b|\bclothing\b|\bposes?\b|\bconcept\b|\bdress\b"), LoRAKind.CONCEPT),
)


def lora_kind(names: Iterable[str], hub_tags: Iterable[str], description: str) -> Finding:
    """Return the purpose of a LoRA: speed by its names, else by hub tags, by its names, by its description."""
    names = [words_of(name) for name in names]
    for name in names:
        if names_speed_lora(name):
            return Finding(LoRAKind.SPEED, f"name {name}", 0.9)
    for tag in hub_tags:
        if kind := _TAGS.get(tag.lower()):
            return Finding(kind, f"tag {tag}", 0.9)
    return (
        _kind_by_words("name", names, 0.7)
        or _kind_by_words("description", [words_of(description[:500])], 0.5)
        or Finding(LoRAKind.UNKNOWN, "no evidence", 0.0)
    )


def _kind_by_words(source: str, texts: Iterable[str], confidence: float) -> Finding | None:
    for pattern, kind in _WORDS:
        for text in texts:
            if match := pattern.search(text):
                return Finding(kind, f"{source}: {match[0]}", confidence)
    return None
