"""CivitAI's records in this registry's terms, and a thin client for its API."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ..errors import HubError, InvalidInputError
from .downloads import Download, get_json, same_origin
from .family import architecture_of, identify_lora_family
from .identify import lora_kind
from .metadata import ExamplePrompt, Family, LoRAKind, ModelKind, ModelMetadata
from .partial import MAX_EXAMPLES, base_model_finding, strengths, strengths_in, tag_counts, trigger_sets
from .text import as_dict, clean_list, clean_number, clean_text, dicts, plain_text, without_lora_tags

SOURCE = "civitai"

KINDS = {
    "checkpoint": ModelKind.CHECKPOINT,
    "lora": ModelKind.LORA,
    "locon": ModelKind.LORA,
    "dora": ModelKind.LORA,
    "vae": ModelKind.VAE,
    "textualinversion": ModelKind.EMBEDDING,
}

_SHA256 = re.compile(r"[0-9a-f]{64}")


def partial_from_version(version: dict[str, Any], model: dict[str, Any], source: str = SOURCE) -> ModelMetadata:
    """What a model-version record (`/model-versions/…`, `.civitai.info`) and its model say, as a partial record."""
    description = "\n".join(
        text for text in (plain_text(version.get("description")), plain_text(model.get("description"))) if text
    )
    hashes = {
        key.lower(): clean_text(value, 64).lower() for key, value in as_dict(_file(version).get("hashes")).items()
    }
    sha256 = hashes.get("sha256", "")
    settings = as_dict(version.get("settings"))
    return ModelMetadata(
        model_id="",
        name="",
        source_id=_source_id(version, model),
        title=clean_text(model.get("name"), 200),
        description=description,
        tags=tag_counts(model.get("tags")),
        trigger_sets=trigger_sets(clean_list(version.get("trainedWords")), source),
        example_prompts=_examples(version),
        creator=clean_text(as_dict(model.get("creator") or version.get("creator")).get("username"), 100) or None,
        license_notes=_license(model),
        sha256=sha256 if _SHA256.fullmatch(sha256) else None,
        autov2=hashes.get("autov2") or None,
        autov3=hashes.get("autov3") or None,
        **base_model_finding(version.get("baseModel"), source, 0.95),
        **(
            strengths(settings.get("strength"), settings.get("minStrength"), settings.get("maxStrength"))
            or strengths_in(description)
        ),
    )


def metadata_from_record(record: Any, version: int | None = None) -> ModelMetadata:
    """A `/models/{id}` record as the registry's own, for `version` (its id) or else the newest one.

    Raises:
        HubError: the record is not what CivitAI's API returns, is of a kind that this registry does not keep,
            or has no such version.
    """
    record = as_dict(record)
    chosen = _version(record, version)
    kind = KINDS.get(clean_text(record.get("type")).lower())
    if kind is None:
        raise HubError(f"CivitAI model {record.get('id')}: type {clean_text(record.get('type'))!r} is not supported")
    partial = partial_from_version(chosen, record)
    file_name = safe_file_name(_file(chosen).get("name"))
    name = file_name.removesuffix(".safetensors")
    architecture = architecture_of(partial.base_model or "")
    findings = dict(partial.findings)
    purpose = lora_kind([name, partial.title], partial.tags, partial.description)
    if kind is ModelKind.LORA:
        findings["lora_kind"] = purpose
    findings["family"] = identify_lora_family(
        name,
        architecture,
        partial.findings.get("base_model"),
        None,
        partial.tags,
        speed=kind is ModelKind.CHECKPOINT or purpose.value == LoRAKind.SPEED,
    )
    size = clean_number(_file(chosen).get("sizeKB"), 0, 1e9)
    return replace(
        partial,
        model_id=f"{kind}:{file_name}",
        name=name,
        kind=kind,
        source=SOURCE,
        architecture=architecture,
        family=Family(findings["family"].value),
        lora_kind=LoRAKind(findings["lora_kind"].value) if kind is ModelKind.LORA else LoRAKind.UNKNOWN,
        size_bytes=round((size or 0) * 1024),
        findings=findings,
    )


def fetch_record(model_id: int, base_url: str) -> dict[str, Any]:
    """The `/models/{model_id}` record. Raises HubError."""
    if isinstance(model_id, bool) or not isinstance(model_id, int) or model_id < 1:
        raise InvalidInputError(f"model_id must be CivitAI's number of the model, got {model_id!r}")
    return as_dict(get_json(f"{base_url.rstrip('/')}/models/{model_id}"))


def download_of(record: dict[str, Any], version: int | None, token: str | None, base_url: str) -> Download:
    """Where the file of `version` lies and how to recognise it; `token` goes to the API's own host only.

    Raises:
        HubError: the record has no such version, or no safetensors file to download.
    """
    chosen = _version(record, version)
    file = _file(chosen)
    url = clean_text(file.get("downloadUrl") or chosen.get("downloadUrl"), 2000)
    if not url.startswith(("https://", "http://")):
        raise HubError(f"CivitAI model {record.get('id')}: its record names no download")
    partial = partial_from_version(chosen, record)
    return Download(
        url,
        safe_file_name(file.get("name")),
        sha256=partial.sha256,
        token=token if same_origin(url, base_url) else None,
    )


def safe_file_name(name: Any) -> str:
    """The last part of a remote file name, without anything that a path or shell would read.

    Raises:
        HubError: it is not the name of a .safetensors file.
    """
    last = re.split(r"[\\/]", clean_text(name, 200))[-1]
    safe = re.sub(r"[^\w .()\[\]+-]", "_", last).strip(" .")
    if not safe.lower().endswith(".safetensors") or safe.lower() == "safetensors":
        raise HubError(f"{clean_text(name, 80)!r} is not the name of a .safetensors file; others are never downloaded")
    return safe[:-12] + ".safetensors"


def _version(record: dict[str, Any], version: int | None) -> dict[str, Any]:
    versions = dicts(record.get("modelVersions"), 1000)
    chosen = next((item for item in versions if version is None or item.get("id") == version), None)
    if chosen is None:
        which = "no version" if version is None else f"no version {version}"
        raise HubError(f"CivitAI model {record.get('id')}: {which} in its record")
    return chosen


def _file(version: dict[str, Any]) -> dict[str, Any]:
    """The safetensors file of the version, its primary one first."""
    files = [file for file in dicts(version.get("files")) if file.get("type", "Model") in ("Model", "Pruned Model")]
    files.sort(
        key=lambda file: (
            not clean_text(file.get("name")).lower().endswith(".safetensors"),
            file.get("primary") is not True,
        )
    )
    return files[0] if files else {}


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
    if commercial in ("None", [], ["None"]):
        found.append("no commercial use")
    return ", ".join(found) or None


def _examples(version: dict[str, Any]) -> tuple[ExamplePrompt, ...]:
    examples = []
    for image in dicts(version.get("images")):
        meta = as_dict(image.get("meta"))
        prompt, tags = without_lora_tags(clean_text(meta.get("prompt"), 1500))
        if not prompt:
            continue
        weights = [
            resource.get("weight")
            for key in ("civitaiResources", "resources")
            for resource in dicts(meta.get(key))
            if resource.get("modelVersionId", version.get("id")) == version.get("id")
            and clean_text(resource.get("type")).lower() in ("lora", "locon", "lycoris")
        ]
        weights = weights if len(weights) == 1 else [weight for _, weight in tags] if len(tags) == 1 else []
        examples.append(ExamplePrompt(prompt, clean_number(weights[0], -4, 4) if weights else None))
    return tuple(dict.fromkeys(examples))[:MAX_EXAMPLES]
