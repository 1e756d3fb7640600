"""CivitAI's API: models by id, by hash and by search, and where their files lie."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from ..errors import HubError, InvalidInputError
from ..models.civitai_record import file_fields, file_of, hashes_of, sha256_of, size_of, version_of
from ..models.kinds import ModelKind
from ..models.metadata import ModelMetadata
from ..models.sanitize import as_dict, clean_text, dicts, safe_file_name
from .client import Control, HubNotFoundError, check_address, fetch_json, same_origin
from .downloads import Download

CIVITAI_API = "https://civitai.com/api/v1"

TYPES = {
    ModelKind.CHECKPOINT: ("Checkpoint",),
    ModelKind.LORA: ("LORA", "LoCon", "DoRA"),
    ModelKind.VAE: ("VAE",),
    ModelKind.EMBEDDING: ("TextualInversion",),
}

SORTS = ("Most Downloaded", "Highest Rated", "Newest")

MAX_HASHES = 100
"""In one request."""

_HASH = re.compile(r"[0-9a-f]{8}|[0-9a-f]{10}|[0-9a-f]{12}|[0-9a-f]{64}", re.IGNORECASE)
"""CRC32 and AutoV1; AutoV2; AutoV3; SHA-256 and BLAKE3."""


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
            model = ModelMetadata.from_civitai(item)
        except HubError:  # a model of a kind that is not kept here is no error of the search
            continue
        if model.problem is None:
            models.append(model)
    following = as_dict(answer.get("metadata")).get("nextCursor")
    return tuple(models), clean_text(str(following), 500) if following else None


def download_of(record: dict[str, Any], version: int | None, token: str | None, base_url: str) -> Download:
    """Where the file of `version` lies and how to recognise it; `token` goes to the API's own host only.

    Raises:
        HubError: the record has no such version, no safetensors file to download, or leads where no hub is.
    """
    chosen = version_of(record, version)
    file = file_of(chosen)
    url = clean_text(file.get("downloadUrl") or chosen.get("downloadUrl"), 2000)
    if not url.startswith(("https://", "http://")):
        raise HubError(f"CivitAI model {record.get('id')}: its record names no download")
    check_address(url, base_url)
    return Download(
        url,
        safe_file_name(file.get("name")),
        sha256=sha256_of(file),
        token=token if same_origin(url, base_url) else None,
        size=size_of(file),
    )


def _by_hash(asked: set[str], versions: Iterable[dict[str, Any]]) -> dict[str, ModelMetadata]:
    found: dict[str, ModelMetadata] = {}
    for version in versions:
        for file in dicts(version.get("files")):
            for text in asked & set(hashes_of(file).values()) - found.keys():
                try:
                    model = ModelMetadata(**file_fields(version, as_dict(version.get("model")), file))
                except HubError:  # known there, but of a kind that is not kept here
                    continue
                if model.problem is None:
                    found[text] = model
    return found
