"""One model file → its record, from its header, its sidecars, what a hub said, and its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from ..errors import UnsupportedModelError
from ..models.architecture import identify_architecture
from ..models.checkpoint import evidence_in
from ..models.family import identify_family, identify_lora_family
from ..models.fields import base_model_finding, trigger_sets
from ..models.headers import Header, read_header
from ..models.kinds import Architecture, Family, Finding, LoRAKind, ModelKind, TriggerSet
from ..models.lora_kind import lora_kind
from ..models.lora_weights import is_lora, lora_rank, lora_type
from ..models.merging import EMPTY, merge
from ..models.metadata import ModelMetadata
from ..models.sanitize import as_dict, clean_number, clean_text, dicts, parse_json, plain_text
from .sidecars import read_sidecars
from .walk import PICKLED_SUFFIXES, FoundFile, encodable

DESCRIBE_VERSION = 3
"""Counted up whenever `describe` finds out more than before; files that an older one read are read again."""

MAX_TRAINING_TAGS = 64

_KEPT = (
    "ss_base_model_version",
    "ss_sd_model_name",
    "ss_network_module",
    "ss_network_dim",
    "ss_network_alpha",
    "ss_output_name",
    "ss_clip_skip",
    "ss_training_comment",
)

_FOLDER = re.compile(r"^\d+_(.+)$")
_DULL = re.compile(
    r"^(?:\d+|imgs?|images?|data(?:set)?|train(?:ing)?|lora|style|pics?|photos?|\d?(?:girl|boy)s?|woman|man)$"
)


def describe_file(file: FoundFile, facts: ModelMetadata | None = None) -> ModelMetadata:
    """Return the record of a file that a walk found; a file that cannot be used gets its `problem` named.

    Args:
        facts: a hub's facts about it.
    """
    path = Path(file.path)
    if path.suffix.lower() in PICKLED_SUFFIXES:
        reason = "a pickled file can run code when loaded; it is never opened. Use its .safetensors version"
        return _unusable(file, path, reason)
    if encodable(file.path) != file.path:
        return _unusable(file, path, "its name is not valid UTF-8; rename it")
    sidecars = {suffix: Path(sidecar) for suffix, sidecar in file.sidecars.items()}
    return describe(path, file.model_id, file.kind, sidecars, facts)


def describe(
    path: Path, model_id: str, kind: ModelKind, sidecars: Mapping[str, Path], hub: ModelMetadata | None = None
) -> ModelMetadata:
    """The record of the safetensors file at `path`; a file that cannot be used gets its `problem` named.

    Args:
        sidecars: suffix → path, as `find_sidecars` gives them.
        hub: what the hub that it was downloaded from said.
    """
    record = ModelMetadata(
        model_id=model_id,
        name=path.stem,
        kind=kind,
        local_path=str(path),
        source=hub.source if hub else "local",
    )
    try:
        header, size = read_header(path), path.stat().st_size
    except UnsupportedModelError as error:
        return replace(record, problem=str(error))
    except OSError as error:
        return replace(record, problem=f"{path.name}: cannot be read ({error.strerror})")
    if kind is ModelKind.LORA and not is_lora(header.shapes):
        return replace(record, problem=f"{path.name}: holds no LoRA weights")

    beside, ignored = read_sidecars(sidecars)
    said = merge([beside, hub]) if hub else beside
    inside = _from_header(header)
    known = merge([said, inside])
    architecture = identify_architecture(header, kind)
    findings = {**known.findings, "architecture": architecture}
    if ignored:
        findings["sidecars"] = Finding("; ".join(ignored), "scan", 1.0)
    fields: dict[str, Any] = {}
    if kind is ModelKind.LORA:
        purpose = lora_kind([path.stem, known.title], [*said.tags, *_spec_tags(header)], known.description)
        findings["lora_kind"] = purpose
        findings["family"] = identify_lora_family(
            path.stem,
            Architecture(architecture.value),
            known.findings.get("base_model"),
            header.metadata.get("ss_sd_model_name"),
            known.tags,
            speed=purpose.value == LoRAKind.SPEED,
        )
        fields = {
            "lora_kind": LoRAKind(purpose.value),
            "lora_type": lora_type(header),
            "rank": lora_rank(header) or _int(header.metadata.get("ss_network_dim")),
            "alpha": clean_number(header.metadata.get("ss_network_alpha"), 0, 1e4) or header.alpha,
        }
    elif kind is ModelKind.CHECKPOINT:
        evidence = evidence_in(header, path.name, known.base_model)
        found = identify_family(evidence)
        findings["family"] = Finding(found.family, found.reason, found.confidence)
        if evidence.prediction not in (None, "epsilon"):
            findings["prediction"] = Finding(str(evidence.prediction), "header", 0.95)
    sha256 = known.sha256
    return replace(
        known,
        model_id=record.model_id,
        name=record.name,
        kind=kind,
        local_path=record.local_path,
        source=record.source,
        source_id=hub.source_id if hub else known.source_id,
        size_bytes=size,
        architecture=Architecture(architecture.value),
        family=Family(findings["family"].value) if "family" in findings else Family.UNKNOWN,
        autov2=known.autov2 or (sha256[:10] if sha256 else None),
        metadata=_kept(header),
        findings=findings,
        **fields,
    )


def _unusable(file: FoundFile, path: Path, reason: str) -> ModelMetadata:
    return ModelMetadata(
        model_id=file.model_id,
        name=encodable(path.stem),
        kind=file.kind,
        local_path=encodable(file.path),
        size_bytes=file.stamp[0],
        problem=f"{encodable(path.name)}: {reason}",
    )


def _from_header(header: Header) -> ModelMetadata:
    """What ModelSpec and kohya entries say, as a partial record."""
    spec = {
        key.removeprefix("modelspec."): value
        for key, value in header.metadata.items()
        if key.startswith("modelspec.") and key != "modelspec.thumbnail"
    }
    frequencies = as_dict(_entry(header, "ss_tag_frequency"))
    training = _training_tags(frequencies)
    phrases = trigger_sets([spec.get("trigger_phrase")], "modelspec.trigger_phrase")
    payload = (spec.get("hash_sha256") or header.metadata.get("sshs_model_hash") or "").lower().removeprefix("0x")
    usage = plain_text(spec.get("usage_hint"), 1000)
    return replace(
        EMPTY,
        title=clean_text(spec.get("title"), 200),
        description="\n".join(text for text in (plain_text(spec.get("description")), usage) if text),
        creator=clean_text(spec.get("author"), 100) or None,
        license_notes=clean_text(spec.get("license"), 200) or None,
        tags={**dict.fromkeys(_spec_tags(header), 1), **training},
        trigger_sets=phrases or _trained_triggers(header, frequencies, training),
        autov3=clean_text(payload, 64)[:12] or None,
        **base_model_finding(header.metadata.get("ss_base_model_version"), "ss_base_model_version", 0.3),
    )


def _spec_tags(header: Header) -> list[str]:
    tags = clean_text(header.metadata.get("modelspec.tags"), 2000).split(",")
    return [text for tag in tags if (text := tag.strip())]


def _entry(header: Header, key: str) -> Any:
    try:
        return parse_json(header.metadata.get(key, "null"))
    except ValueError:
        return None


def _training_tags(frequencies: dict[str, Any]) -> dict[str, int]:
    """The commonest tags of all dataset folders, added up."""
    counts: dict[str, int] = {}
    for tags in frequencies.values():
        valid = as_dict(tags)
        if set(map(type, valid.values())) - {int}:
            valid = {tag: count for tag, count in valid.items() if type(count) is int}
        counts = {tag: counts.get(tag, 0) + valid.get(tag, 0) for tag in [*counts, *valid]} if counts else valid
    least = sorted(counts.values())[-MAX_TRAINING_TAGS] if len(counts) > MAX_TRAINING_TAGS else 0
    often = sorted([item for item in counts.items() if item[1] >= least], key=itemgetter(1), reverse=True)
    return {
        text: count for tag, count in often[:MAX_TRAINING_TAGS] if 0 < count < 10**9 and (text := clean_text(tag, 100))
    }


def _trained_triggers(header: Header, frequencies: dict[str, Any], training: dict[str, int]) -> tuple[TriggerSet, ...]:
    """Class tokens of the datasets, else folder names such as `10_trigger`; dull names (`img`, `1girl`) say nothing."""
    datasets = _entry(header, "ss_datasets")
    tokens = [
        clean_text(subset.get("class_tokens"), 200)
        for dataset in dicts(datasets)
        for subset in dicts(as_dict(dataset).get("subsets"))
    ]
    if sets := trigger_sets([token for token in tokens if token and not _DULL.match(token.lower())], "ss_datasets"):
        return sets
    folders = {*frequencies, *as_dict(_entry(header, "ss_dataset_dirs"))}
    names = (match[1].replace("_", " ").strip() for folder in sorted(folders) if (match := _FOLDER.match(folder)))
    said = set(" ".join(training).replace("_", " ").lower().split())
    return trigger_sets(
        [name for name in names if not _DULL.match(name.lower()) and (not said or said & set(name.lower().split()))],
        "training folder",
    )


def _kept(header: Header) -> dict[str, str]:
    return {
        key: clean_text(value, 500)
        for key, value in header.metadata.items()
        if key in _KEPT or (key.startswith("modelspec.") and key != "modelspec.thumbnail")
    }


def _int(value: Any) -> int | None:
    number = clean_number(value, 1, 65536)
    return int(number) if number else None
