"""Names of models on the hubs, as people copy them: addresses, ids, repositories."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from ..errors import InvalidInputError
from ..models.metadata import ModelMetadata

_CIVITAI_HOSTS = ("civitai.com", "civitai.green", "civitai.red")
_HUGGING_FACE_HOSTS = ("huggingface.co", "hf.co")

_CIVITAI_ID = re.compile(r"(?:civitai:|urn:air:\w+:\w+:civitai:)?(\d{1,12})(?:@(\d{1,12}))?")
_CIVITAI_PAGE = re.compile(r"/models/(\d{1,12})(?:/.*)?")
_CIVITAI_DOWNLOAD = re.compile(r"/api/download/models/(\d{1,12})")
_REPOSITORY = re.compile(r"([\w.-]+/[\w.-]+)(?:/(.+))?")
_OTHER_REPOSITORIES = ("datasets/", "spaces/", "papers/", "collections/")


@dataclass(frozen=True)
class CivitAIModel:
    """A model of CivitAI."""

    model_id: int
    version: int | None = None
    """Id of the version; None: the newest."""


@dataclass(frozen=True)
class CivitAIVersion:
    """A version of a CivitAI model whose id the reference does not name."""

    version: int


@dataclass(frozen=True)
class HuggingFaceFile:
    """A file of a Hugging Face repository."""

    repo_id: str
    filename: str | None = None
    """Path inside the repository; None: the only safetensors file there, or the one of the usual LoRA name."""


Reference = CivitAIModel | CivitAIVersion | HuggingFaceFile


def parse_reference(text: str) -> Reference:
    """Return the model that `text` names.

    CivitAI: an address of a model (`?modelVersionId=` picks a version) or of a download, `civitai:ID@VERSION`, or the
    bare number. Hugging Face: an address of a repository or of a file in it, or `owner/repository/path/to/file`.
    Raises InvalidInputError where it names no model of either hub.
    """
    text = text.strip()
    if match := _CIVITAI_ID.fullmatch(text):
        return CivitAIModel(int(match[1]), int(match[2]) if match[2] else None)
    address = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        raise InvalidInputError(f"{text[:200]!r} is not an address") from None
    if host in _CIVITAI_HOSTS:
        return _civitai(text, parts.path, parse_qs(parts.query))
    if host in _HUGGING_FACE_HOSTS:
        return _hugging_face(text, unquote(parts.path).strip("/"))
    if "://" not in text and (match := _REPOSITORY.fullmatch(text)):
        return HuggingFaceFile(match[1], _safetensors(text, match[2]))
    raise InvalidInputError(
        f"{text[:200]!r} names no model: give an address of civitai.com or huggingface.co, CivitAI's number of the "
        "model (civitai:ID or civitai:ID@VERSION), or owner/repository of Hugging Face"
    )


def reference(model: ModelMetadata) -> str:
    """Return the text by which `parse_reference` names a model that a hub found."""
    if model.source == "civitai":
        model_id, _, version = (model.source_id or "").partition(":")
        return f"civitai:{model_id}@{version}" if version else f"civitai:{model_id}"
    return model.source_id or ""


def _civitai(text: str, path: str, query: dict[str, list[str]]) -> Reference:
    if match := _CIVITAI_DOWNLOAD.fullmatch(path):
        return CivitAIVersion(int(match[1]))
    match, version = _CIVITAI_PAGE.fullmatch(path), query.get("modelVersionId", [""])[0]
    if match is None or (version and not re.fullmatch(r"\d{1,12}", version)):
        raise InvalidInputError(f"{text[:200]!r} is no page of a model; its address looks like civitai.com/models/123")
    return CivitAIModel(int(match[1]), int(version) if version else None)


def _hugging_face(text: str, path: str) -> HuggingFaceFile:
    match = _REPOSITORY.fullmatch(path)
    if match is None or path.startswith(_OTHER_REPOSITORIES):
        raise InvalidInputError(f"{text[:200]!r} is no model; its address looks like huggingface.co/owner/repository")
    if match[2] is None:
        return HuggingFaceFile(match[1])
    action, _, rest = match[2].partition("/")
    revision, _, filename = rest.partition("/")
    if action not in ("blob", "resolve", "tree") or revision != "main":
        raise InvalidInputError(f"{text[:200]!r}: only files of the branch main are fetched (…/blob/main/FILE)")
    return HuggingFaceFile(match[1], None if action == "tree" else _safetensors(text, filename or None))


def _safetensors(text: str, filename: str | None) -> str | None:
    if filename is not None and not filename.lower().endswith(".safetensors"):
        raise InvalidInputError(f"{text[:200]!r} is not a .safetensors file; others are never downloaded")
    return filename
