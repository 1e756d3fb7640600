"""CivitAI's records in this registry's terms, and the addresses of its API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from ..errors import HubError, InvalidInputError
from .downloads import Download, safe_file_name
from .family import architecture_of, identify_lora_family
from .identify import lora_kind
from .metadata import ExamplePrompt, Family, LoRAKind, ModelKind, ModelMetadata
from .partial import MAX_EXAMPLES, base_model_finding, strengths, strengths_in, tag_counts, trigger_sets
from .text import as_dict, clean_list, clean_number, clean_text, dicts, plain_text, without_lora_tags
from .web import Control, HubNotFoundError, check_address, fetch_json, same_origin

SOURCE = "civitai"

KINDS = {
    "checkpoint": ModelKind.CHECKPOINT,
    "lora": ModelKind.LORA,
    "locon": ModelKind.LORA,
    "dora": ModelKind.LORA,
    "vae": ModelKind.VAE,
    "textualinversion": ModelKind.EMBEDDING,
}

TYPES = {
    ModelKind.CHECKPOINT: ("Checkpoint",),
    ModelKind.LORA: ("LORA", "LoCon", "DoRA"),
    ModelKind.VAE: ("VAE",),
    ModelKind.EMBEDDING: ("TextualInversion",),
}

SORTS = ("Most Downloaded", "Highest Rated", "Newest")

MAX_HASHES = 100
"""In one request."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_HASH = re.compile(r"[0-9a-f]{8}|[0-9a-f]{10}|[0-9a-f]{12}|[0-9a-f]{64}", re.IGNORECASE)
"""CRC32 and AutoV1; AutoV2; AutoV3; SHA-256 and BLAKE3."""


def partial_from_version(
    version: dict[str, Any], model: dict[str, Any], source: str = SOURCE, file: Mapping[str, Any] | None = None
) -> ModelMetadata:
    """What a model-version record (`/model-versions/…`, `.civitai.info`) and its model say, as a partial record.

    The hashes are those of `file`, one of the version's; None: of its first safetensors file.
    """
    description = "\n".join(
        text for text in (plain_text(version.get("description")), plain_text(model.get("description"))) if text
    )
    hashes = _hashes(_file(version) if file is None else file)
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
    return _metadata(chosen, record, _file(chosen))


def _metadata(version: dict[str, Any], model: dict[str, Any], file: Mapping[str, Any]) -> ModelMetadata:
    kind = KINDS.get(clean_text(model.get("type")).lower())
    if kind is None:
        raise HubError(f"CivitAI model {model.get('id')}: type {clean_text(model.get('type'))!r} is not supported")
    partial = partial_from_version(version, model, file=file)
    file_name = safe_file_name(file.get("name"))
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
    return replace(
        partial,
        model_id=f"{kind}:{file_name}",
        name=name,
        kind=kind,
        source=SOURCE,
        architecture=architecture,
        family=Family(findings["family"].value),
        lora_kind=LoRAKind(findings["lora_kind"].value) if kind is ModelKind.LORA else LoRAKind.UNKNOWN,
        size_bytes=_size(file) or 0,
        findings=findings,
    )


def fetch_record(model_id: int, base_url: str, control: Control | None = None) -> dict[str, Any]:
    """The `/models/{model_id}` record. Raises HubError."""
    if isinstance(model_id, bool) or not isinstance(model_id, int) or model_id < 1:
        raise InvalidInputError(f"model_id must be CivitAI's number of the model, got {model_id!r}")
    return as_dict(fetch_json(f"{base_url.rstrip('/')}/models/{model_id}", control=control))


def fetch_by_sha256(hashes: Sequence[str], base_url: str, control: Control | None = None) -> dict[str, ModelMetadata]:
    """Lower-case hash → the file's metadata, for those of up to 100 SHA-256 that CivitAI knows. Raises HubError."""
    url = f"{base_url.rstrip('/')}/model-versions/by-hash"
    try:
        found = fetch_json(url, body=[text.upper() for text in hashes], control=control)
    except HubNotFoundError:
        return {}
    if not isinstance(found, list):
        raise HubError(f"{url}: the answer is no list of model versions")
    return _by_hash({text.lower() for text in hashes}, dicts(found, 10 * MAX_HASHES))


def fetch_by_hash(text: str, base_url: str, control: Control | None = None) -> dict[str, ModelMetadata]:
    """The same for one hash of any kind that CivitAI records."""
    try:
        found = fetch_json(f"{base_url.rstrip('/')}/model-versions/by-hash/{text.upper()}", control=control)
    except HubNotFoundError:
        return {}
    return _by_hash({text.lower()}, [as_dict(found)])


def is_hash(text: Any) -> bool:
    """Whether it could be the hash of a file: 8, 10, 12 or 64 hexadecimal digits."""
    return isinstance(text, str) and bool(_HASH.fullmatch(text))


def fetch_page(
    base_url: str,
    text: str,
    kind: ModelKind | None,
    base_model: str | None,
    sort: str,
    limit: int,
    cursor: str | None,
    control: Control | None = None,
) -> tuple[tuple[ModelMetadata, ...], str | None]:
    """One page of search results, of which those that this registry could keep, and the cursor of the next page."""
    asked = [("limit", limit), ("sort", sort), ("query", text), ("baseModels", base_model), ("cursor", cursor)]
    asked += [
        ("types", name) for name in (TYPES[kind] if kind else (name for names in TYPES.values() for name in names))
    ]
    url = f"{base_url.rstrip('/')}/models?{urlencode([(key, value) for key, value in asked if value])}"
    answer = as_dict(fetch_json(url, control=control))
    if not isinstance(answer.get("items"), list):
        raise HubError(f"{url.partition('?')[0]}: the answer holds no list of models")
    models = []
    for item in dicts(answer["items"]):
        try:
            models.append(metadata_from_record(item))
        except HubError:  # a model without a safetensors file is no error of the search
            continue
    following = as_dict(answer.get("metadata")).get("nextCursor")
    return tuple(models), clean_text(str(following), 500) if following else None


def download_of(record: dict[str, Any], version: int | None, token: str | None, base_url: str) -> Download:
    """Where the file of `version` lies and how to recognise it; `token` goes to the API's own host only.

    Raises:
        HubError: the record has no such version, no safetensors file to download, or leads where no hub is.
    """
    chosen = _version(record, version)
    file = _file(chosen)
    url = clean_text(file.get("downloadUrl") or chosen.get("downloadUrl"), 2000)
    if not url.startswith(("https://", "http://")):
        raise HubError(f"CivitAI model {record.get('id')}: its record names no download")
    check_address(url, base_url)
    partial = partial_from_version(chosen, record)
    return Download(
        url,
        safe_file_name(file.get("name")),
        sha256=partial.sha256,
        token=token if same_origin(url, base_url) else None,
        size=_size(file),
    )


def _by_hash(asked: set[str], versions: Iterable[dict[str, Any]]) -> dict[str, ModelMetadata]:
    found: dict[str, ModelMetadata] = {}
    for version in versions:
        for file in dicts(version.get("files")):
            for text in asked & set(_hashes(file).values()) - found.keys():
                try:
                    found[text] = _metadata(version, as_dict(version.get("model")), file)
                except HubError:  # known there, but of a kind that is not kept here
                    continue
    return found


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


def _hashes(file: Mapping[str, Any]) -> dict[str, str]:
    return {key.lower(): clean_text(value, 64).lower() for key, value in as_dict(file.get("hashes")).items()}


def _size(file: Mapping[str, Any]) -> int | None:
    """Bytes."""
    size = clean_number(file.get("sizeKB"), 0, 1e9)
    return round(size * 1024) if size else None


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
