"""CivitAI's model and version records as fields of `ModelMetadata`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import HubError
from .family_detection import identify_lora_family
from .fields import (
    MAX_EXAMPLES,
    MAX_TRIGGER_SETS,
    base_model_finding,
    strengths,
    strengths_in,
    tag_counts,
    trigger_sets,
)
from .kinds import ExamplePrompt, Family, LoRAKind, ModelKind
from .name_patterns import architecture_named, lora_kind, plain_name
from .sanitize import (
    as_dict,
    clean_list,
    clean_number,
    clean_text,
    dicts,
    plain_texts,
    safe_file_name,
    without_lora_tags,
)

SOURCE = "civitai"

TYPES = {
    ModelKind.CHECKPOINT: ("Checkpoint",),
    ModelKind.LORA: ("LORA", "LoCon", "DoRA"),
    ModelKind.VAE: ("VAE",),
    ModelKind.EMBEDDING: ("TextualInversion",),
    ModelKind.UPSCALER: ("Upscaler",),
}
"""CivitAI's types of the models of a kind."""

_KINDS = {name.lower(): kind for kind, names in TYPES.items() for name in names}

_SHA256 = re.compile(r"[0-9a-f]{64}")
_STRENGTH_FIELDS = ("strength", "strength_range", "strength_from_text")
_LORA_TYPES = ("lora", "locon", "lycoris", "dora")


def version_fields(
    version: dict[str, Any], model: dict[str, Any], source: str = SOURCE, file: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the fields in a version record (`/model-versions/…`, `.civitai.info`) and the record of its model.

    Args:
        source: named in findings.
        file: the file of the version whose hashes count; None: its first safetensors file.
    """
    description = plain_texts(version.get("description"), model.get("description"))
    file = file_of(version) if file is None else file
    hashes = hashes_of(file)
    settings = as_dict(version.get("settings"))
    return {
        "source_id": _source_id(version, model),
        "title": clean_text(model.get("name"), 200),
        "description": description,
        "tags": tag_counts(model.get("tags")),
        "trigger_sets": trigger_sets(_words(version.get("trainedWords")), source),
        "example_prompts": _examples(version),
        "creator": clean_text(as_dict(model.get("creator") or version.get("creator")).get("username"), 100) or None,
        "license_notes": _license(model),
        "sha256": sha256_of(file),
        "autov2": hashes.get("autov2") or None,
        "autov3": hashes.get("autov3") or None,
        **base_model_finding(version.get("baseModel"), source, 0.95),
        **(
            strengths(settings.get("strength"), settings.get("minStrength"), settings.get("maxStrength"))
            or strengths_in(description)
        ),
    }


def file_fields(version: dict[str, Any], model: dict[str, Any], file: Mapping[str, Any]) -> dict[str, Any]:
    """Return all fields of one file of a version; one that is no safetensors file gets its `problem` named.

    Raises HubError where the model is of a kind that the registry does not keep.
    """
    kind = _KINDS.get(clean_text(model.get("type")).lower())
    if kind is None:
        raise HubError(f"CivitAI model {model.get('id')}: type {clean_text(model.get('type'))!r} is not supported")
    fields = version_fields(version, model, file=file)
    try:
        file_name, problem = safe_file_name(file.get("name")), None
    except HubError as error:
        file_name, problem = f"{fields['source_id'] or 'unknown'}.safetensors", str(error)
    name = file_name.removesuffix(".safetensors") if problem is None else fields["title"]
    architecture = architecture_named(fields.get("base_model", ""))
    findings = fields.get("findings", {})
    purpose = lora_kind([name, fields["title"]], fields["tags"], fields["description"])
    family = identify_lora_family(
        name,
        architecture,
        findings.get("base_model"),
        None,
        fields["tags"],
        speed=kind is ModelKind.CHECKPOINT or purpose.value == LoRAKind.SPEED,
    )
    is_lora = kind is ModelKind.LORA
    return fields | {
        "model_id": f"{kind}:{file_name}",
        "name": name,
        "kind": kind,
        "source": SOURCE,
        "architecture": architecture,
        "family": Family(family.value),
        "lora_kind": LoRAKind(purpose.value) if is_lora else LoRAKind.UNKNOWN,
        "size_bytes": size_of(file) or 0,
        "findings": findings | ({"lora_kind": purpose} if is_lora else {}) | {"family": family},
        "problem": problem,
    }


def record_fields(record: Any, version: int | None = None) -> dict[str, Any]:
    """Return the fields of `ModelMetadata.from_civitai`, with its arguments and errors."""
    record = as_dict(record)
    chosen = version_of(record, version)
    fields = file_fields(chosen, record, file_of(chosen))
    if version is not None:
        return fields
    for other in dicts(record.get("modelVersions"), 100):
        if other is chosen or architecture_named(clean_text(other.get("baseModel"), 100)) is not fields["architecture"]:
            continue
        more = version_fields(other, record)
        for name, limit in (("trigger_sets", MAX_TRIGGER_SETS), ("example_prompts", MAX_EXAMPLES)):
            fields[name] = tuple(dict.fromkeys((*fields[name], *more[name])))[:limit]
        if fields.keys().isdisjoint(_STRENGTH_FIELDS):
            fields |= {name: more[name] for name in _STRENGTH_FIELDS if name in more}
    return fields


def version_of(record: dict[str, Any], version: int | None) -> dict[str, Any]:
    """Return the record of the version of this id, or of the newest. Raises HubError."""
    versions = dicts(record.get("modelVersions"), 1000)
    chosen = next((item for item in versions if version is None or item.get("id") == version), None)
    if chosen is None:
        which = "no version" if version is None else f"no version {version}"
        raise HubError(f"CivitAI model {record.get('id')}: {which} in its record")
    return chosen


def file_of(version: dict[str, Any]) -> dict[str, Any]:
    """Return the safetensors file of the version, its primary one if there are several; empty: it has none."""
    files = [file for file in dicts(version.get("files")) if file.get("type", "Model") in ("Model", "Pruned Model")]
    files.sort(
        key=lambda file: (
            not clean_text(file.get("name")).lower().endswith(".safetensors"),
            file.get("primary") is not True,
        )
    )
    return files[0] if files else {}


def hashes_of(file: Mapping[str, Any]) -> dict[str, str]:
    """Return kind → hash of the file, in lower case."""
    return {key.lower(): clean_text(value, 64).lower() for key, value in as_dict(file.get("hashes")).items()}


def sha256_of(file: Mapping[str, Any]) -> str | None:
    """Return the file's SHA-256, where its record gives a valid one."""
    text = hashes_of(file).get("sha256", "")
    return text if _SHA256.fullmatch(text) else None


def size_of(file: Mapping[str, Any]) -> int | None:
    """Return the file's size in bytes, rounded to kilobytes."""
    size = clean_number(file.get("sizeKB"), 0, 1e9)
    return round(size * 1024) if size else None


def _words(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else clean_list(value)


def _source_id(version: dict[str, Any], model: dict[str, Any]) -> str | None:
    ids = version.get("modelId") or model.get("id"), version.get("id")
    return ":".join(str(number) for number in ids if isinstance(number, int) and 0 < number < 2**53) or None


def _license(model: dict[str, Any]) -> str | None:
    notes = (
        ("allowNoCredit", False, "credit required"),
        ("allowDerivatives", False, "no derivatives"),
        ("allowDifferentLicense", False, "same licence"),
    )
    found = [text for key, value, text in notes if model.get(key) is value]
    commercial = model.get("allowCommercialUse")
    if commercial in ("None", "{}", "{None}", [], ["None"]):
        found.append("no commercial use")
    return ", ".join(found) or None


def _examples(version: dict[str, Any]) -> tuple[ExamplePrompt, ...]:
    version_id = version.get("id") if isinstance(version.get("id"), int) else None
    own = {version_id}
    for file in dicts(version.get("files")):
        own.update((_plain(file.get("name")), *hashes_of(file).values()))
    own.discard("")
    examples = []
    for image in dicts(version.get("images")):
        meta = as_dict(image.get("meta"))
        prompt, tags = without_lora_tags(clean_text(meta.get("prompt"), 1500))
        if prompt:
            weights = _uses(meta, tags)
            keys = next((keys for keys in weights if keys & own), None)
            if keys is None and len(weights) == 1 and not any(isinstance(key, int) for key in next(iter(weights))):
                keys = next(iter(weights))  # the only LoRA, under another name
            weight = clean_number(weights[keys], -4, 4) if keys else None
            examples.append(ExamplePrompt(prompt, weight, len(weights) > 1 if weights else None, version_id))
    return tuple(dict.fromkeys(examples))[:MAX_EXAMPLES]


def _uses(meta: dict[str, Any], tags: Sequence[tuple[str, float]]) -> dict[frozenset[Any], Any]:
    """Return the names, hashes and version id of every LoRA of an image → its strength."""
    uses: dict[frozenset[Any], Any] = {}
    for resource in (item for key in ("civitaiResources", "resources") for item in dicts(meta.get(key))):
        if clean_text(resource.get("type")).lower() not in _LORA_TYPES:
            continue
        number = resource.get("modelVersionId")
        named = (_plain(resource.get("name")), clean_text(resource.get("hash")).lower())
        keys = frozenset(key for key in (*named, number if isinstance(number, int) else None) if key) or frozenset(
            {"unnamed"}
        )
        if not any(keys & other for other in uses):
            uses[keys] = resource.get("weight")
    for name, weight in tags:
        keys = frozenset({plain_name(name)} - {""})
        known = next((other for other in uses if keys & other), keys)
        if known:
            uses[known] = weight if uses.get(known) is None else uses[known]
    return uses


def _plain(name: Any) -> str:
    return plain_name(clean_text(name, 200))
