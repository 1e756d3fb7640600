"""Facts in the header of a model file: ModelSpec and kohya entries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from .evidence import ModelEvidence, evidence_in
from .fields import base_model_finding, strengths, tag_counts, trigger_sets
from .gguf import GGUF_SUFFIX, read_gguf_header
from .headers import Header, read_header
from .kinds import TriggerSet
from .metadata import EMPTY, ModelMetadata
from .sanitize import as_dict, clean_text, dicts, parse_json, plain_text

MAX_TRAINING_TAGS = 64
"""Most frequent training tags that are kept."""

_KEPT_ENTRIES = (
    "ss_base_model_version",
    "ss_sd_model_name",
    "ss_network_module",
    "ss_network_dim",
    "ss_network_alpha",
    "ss_output_name",
    "ss_clip_skip",
    "ss_training_comment",
)

_TRAINING_FOLDER = re.compile(r"^\d+_(.+)$")
_GENERIC_WORDS = re.compile(
    r"^(?:\d+|imgs?|images?|data(?:set)?|train(?:ing)?|lora|style|pics?|photos?|\d?(?:girl|boy)s?|woman|man)$"
)


def header_facts(header: Header) -> ModelMetadata:
    """Return the facts in ModelSpec and kohya entries, as a partial record."""
    spec = {
        key.removeprefix("modelspec."): value
        for key, value in header.metadata.items()
        if key.startswith("modelspec.") and key != "modelspec.thumbnail"
    }
    stated = spec_facts(spec, "modelspec.trigger_phrase")
    frequencies = as_dict(_entry(header, "ss_tag_frequency"))
    training = _training_tags(frequencies)
    payload = (header.metadata.get("sshs_model_hash") or "").lower().removeprefix("0x")
    return replace(
        stated,
        tags={**stated.tags, **training},
        trigger_sets=stated.trigger_sets or _trained_triggers(header, frequencies, training),
        autov3=stated.autov3 or clean_text(payload, 64)[:12] or None,
        **base_model_finding(header.metadata.get("ss_base_model_version"), "ss_base_model_version", 0.3),
    )


def spec_facts(spec: Mapping[str, Any], source: str) -> ModelMetadata:
    """Return the facts in ModelSpec's entries, as a partial record.

    Args:
        spec: name without `modelspec.` → value, of a header (all texts) or of a sidecar.
        source: named with trigger words.
    """
    payload = clean_text(spec.get("hash_sha256"), 100).lower().removeprefix("0x")
    tags = spec.get("tags")
    texts = (plain_text(spec.get("description")), plain_text(spec.get("usage_hint"), 1000))
    return replace(
        EMPTY,
        title=clean_text(spec.get("title"), 200),
        description="\n".join(filter(None, texts)),
        creator=clean_text(spec.get("author"), 100) or None,
        license_notes=clean_text(spec.get("license"), 200) or None,
        tags=dict.fromkeys(_split_tags(tags), 1) if isinstance(tags, str) else tag_counts(tags),
        trigger_sets=trigger_sets([spec.get("trigger_phrase")], source),
        autov3=payload[:12] or None,
        **strengths(spec.get("lora_default_weight")),
    )


def modelspec_tags(header: Header) -> list[str]:
    return _split_tags(header.metadata.get("modelspec.tags"))


def _split_tags(text: Any) -> list[str]:
    return [tag for part in clean_text(text, 2000).split(",") if (tag := part.strip())]


def _entry(header: Header, key: str) -> Any:
    try:
        return parse_json(header.metadata.get(key, "null"))
    except ValueError:
        return None


def _training_tags(frequencies: dict[str, Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for tags in frequencies.values():
        valid = as_dict(tags)
        if set(map(type, valid.values())) - {int}:
            valid = {tag: count for tag, count in valid.items() if type(count) is int}
        counts = {tag: counts.get(tag, 0) + valid.get(tag, 0) for tag in [*counts, *valid]} if counts else valid
    min_count = sorted(counts.values())[-MAX_TRAINING_TAGS] if len(counts) > MAX_TRAINING_TAGS else 0
    often = sorted([item for item in counts.items() if item[1] >= min_count], key=itemgetter(1), reverse=True)
    return {
        text: count for tag, count in often[:MAX_TRAINING_TAGS] if 0 < count < 10**9 and (text := clean_text(tag, 100))
    }


def _trained_triggers(header: Header, frequencies: dict[str, Any], training: dict[str, int]) -> tuple[TriggerSet, ...]:
    """Return class tokens of the datasets, else folder names such as `10_trigger`, without generic words (`img`)."""
    subsets = [
        subset for data in dicts(_entry(header, "ss_datasets")) for subset in dicts(as_dict(data).get("subsets"))
    ]
    tokens = [clean_text(subset.get("class_tokens"), 200) for subset in subsets]
    if sets := trigger_sets(filter(_is_specific, tokens), "ss_datasets"):
        return sets
    folders = sorted({*frequencies, *as_dict(_entry(header, "ss_dataset_dirs"))})
    names = [match[1].replace("_", " ").strip() for folder in folders if (match := _TRAINING_FOLDER.match(folder))]
    captions = set(" ".join(training).replace("_", " ").lower().split())
    written = [name for name in names if not captions or captions & set(name.lower().split())]
    return trigger_sets(filter(_is_specific, written), "training folder")


def _is_specific(text: str) -> bool:
    return bool(text) and not _GENERIC_WORDS.match(text.lower())


def kept_entries(header: Header) -> dict[str, str]:
    """Return the short entries that a record keeps: ModelSpec without its thumbnail, and some of kohya's."""
    return {
        key: clean_text(value, 500)
        for key, value in header.metadata.items()
        if key in _KEPT_ENTRIES or (key.startswith("modelspec.") and key != "modelspec.thumbnail")
    }


def evidence_of_file(path: Path) -> ModelEvidence:
    """Return what a single-file checkpoint says of itself. Raises UnsupportedModelError."""
    header = read_gguf_header(path) if path.suffix.lower() == GGUF_SUFFIX else read_header(path)
    return replace(evidence_in(header, path.name), metadata=kept_entries(header))
