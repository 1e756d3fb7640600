"""LoRAs and checkpoints from the Hugging Face hub, through `huggingface_hub`."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import HubError, InvalidInputError
from .civitai import safe_file_name
from .downloads import accept, missing_hubs, sha256_of, temporary_file
from .metadata import ModelMetadata
from .partial import base_model_finding, strengths_in, tag_counts, trigger_sets
from .text import as_dict, clean_text

SOURCE = "huggingface"

_GENERIC = ("pytorch_lora_weights.safetensors", "model.safetensors", "diffusion_pytorch_model.safetensors")
_DULL_TAGS = ("diffusers", "safetensors", "lora", "text-to-image", "template:", "base_model:", "license:", "region:")


@dataclass(frozen=True)
class Fetched:
    """A file on this machine and what its repository says of it."""

    path: Path
    partial: ModelMetadata
    downloaded: bool
    """False: it lay there before (in the hub's own cache, or in the folder)."""


def fetch(
    repo_id: str,
    filename: str | None,
    folder: Path,
    *,
    token: str | None = None,
    offline: bool = False,
    endpoint: str | None = None,
) -> Fetched:
    """One safetensors file of `repo_id`: from the hub's cache when it lies there, else downloaded into `folder`.

    Args:
        filename: path inside the repository; None where it holds one safetensors file, or one of the usual LoRA name.
        offline: use only what is on this machine.
        endpoint: address of another hub with the same API.

    Raises:
        HubError: unreachable, refused, not there, or not the promised file.
        InvalidInputError: no such repository name, or several files to choose from.
        MissingDependencyError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import HfApi, try_to_load_from_cache
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise missing_hubs(error) from None

    try:
        if offline:
            return _local(repo_id, filename, folder)
        api = HfApi(endpoint=endpoint, token=token)
        info = api.model_info(repo_id, files_metadata=True)
        files = {item.rfilename: item for item in info.siblings or []}
        chosen = _choose(repo_id, filename, list(files))
        partial = partial_from_info(repo_id, info)
        cached = try_to_load_from_cache(repo_id, chosen)
        if isinstance(cached, str):
            return Fetched(Path(cached), partial, downloaded=False)
        lfs = files[chosen].lfs
        sha256 = lfs.sha256 if lfs else None
        final = folder / local_name(repo_id, chosen)
        if final.exists():
            if final.stat().st_size == files[chosen].size and (sha256 is None or sha256_of(final) == sha256):
                return Fetched(final, partial, downloaded=False)
            raise HubError(f"{final} already exists and is another file; pass another folder=")
        with temporary_file(folder) as target, tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as staging:
            Path(api.hf_hub_download(repo_id, chosen, local_dir=staging)).replace(target)
            accept(target, final, sha256)
        return Fetched(final, partial, downloaded=True)
    except HFValidationError as error:
        raise InvalidInputError(f"repo_id: {error}") from None
    except HfHubHTTPError as error:
        raise HubError(f"Hugging Face {repo_id}: {str(error).splitlines()[0]}") from None
    except OSError as error:
        if isinstance(error, HubError):
            raise
        raise HubError(f"Hugging Face {repo_id}: {error}") from None


def partial_from_info(repo_id: str, info: Any) -> ModelMetadata:
    """What `HfApi.model_info` says of a repository, as a partial record."""
    card = info.card_data.to_dict() if info.card_data else {}
    base = card.get("base_model")
    prompt = clean_text(card.get("instance_prompt"), 500)
    tags = [tag for tag in info.tags or [] if not tag.startswith(_DULL_TAGS)]
    description = clean_text(card.get("description"), 2000)
    return ModelMetadata(
        model_id="",
        name="",
        source=SOURCE,
        source_id=repo_id,
        title=clean_text(repo_id.rpartition("/")[2].replace("-", " ").replace("_", " "), 200),
        description=description,
        tags=tag_counts(tags),
        trigger_sets=trigger_sets([prompt] if prompt and prompt.lower() != "none" else [], "Hugging Face card"),
        creator=clean_text(repo_id.partition("/")[0], 100) or None,
        license_notes=clean_text(as_dict(card).get("license"), 100) or None,
        **base_model_finding(base[0] if isinstance(base, list) and base else base, "Hugging Face card", 0.9),
        **strengths_in(description),
    )


def local_name(repo_id: str, filename: str) -> str:
    """The name to keep a repository's file under: its own, or the repository's where the file's says nothing."""
    last = filename.rpartition("/")[2]
    return safe_file_name(f"{repo_id.rpartition('/')[2]}.safetensors" if last in _GENERIC else last)


def _local(repo_id: str, filename: str | None, folder: Path) -> Fetched:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    partial = ModelMetadata(model_id="", name="", source=SOURCE, source_id=repo_id)
    kept = folder / local_name(repo_id, filename or _GENERIC[0])
    if kept.is_file():
        return Fetched(kept, partial, downloaded=False)
    try:
        snapshot = Path(snapshot_download(repo_id, local_files_only=True))
    except LocalEntryNotFoundError:
        raise HubError(f"Hugging Face {repo_id} is not on this machine; register it once with offline=False") from None
    files = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*.safetensors")]
    return Fetched(snapshot / _choose(repo_id, filename, files), partial, downloaded=False)


def _choose(repo_id: str, filename: str | None, files: list[str]) -> str:
    models = sorted(name for name in files if name.endswith(".safetensors"))
    if filename is not None:
        if filename not in models:
            raise HubError(f"Hugging Face {repo_id}: no file {filename!r}; it holds {', '.join(models[:10]) or 'none'}")
        return filename
    if len(models) == 1 or _GENERIC[0] in models:
        return models[0] if len(models) == 1 else _GENERIC[0]
    if not models:
        raise HubError(f"Hugging Face {repo_id}: holds no .safetensors file")
    raise InvalidInputError(f"{repo_id} holds several files; pass filename= one of {', '.join(models[:20])}")
