"""LoRAs and checkpoints from the Hugging Face hub, through `huggingface_hub`."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import HubError, InvalidInputError
from ..models.fields import base_model_finding, strengths_in, tag_counts, trigger_sets
from ..models.kinds import ModelKind
from ..models.metadata import ModelMetadata
from ..models.sanitize import as_dict, clean_text, safe_file_name
from .client import Control, HubNotFoundError, TryAgainError, check_address, checked_token, missing_hubs, refusal
from .downloads import PARTIAL_PREFIX, alone, checked_folder, settle, sha256_of, verify, writing

SOURCE = "huggingface"

KIND_TAGS = {
    ModelKind.LORA: ("lora",),
    ModelKind.CHECKPOINT: ("diffusers", "text-to-image"),
    ModelKind.VAE: ("vae",),
    ModelKind.EMBEDDING: ("textual_inversion",),
}
"""Tags of its repositories on the hub."""

SORTS = ("downloads", "likes", "created_at", "last_modified", "trending_score")

_GENERIC = ("pytorch_lora_weights.safetensors", "model.safetensors", "diffusion_pytorch_model.safetensors")
_DULL_TAGS = ("diffusers", "safetensors", "lora", "text-to-image", "template:", "base_model:", "license:", "region:")

Result = TypeVar("Result")


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
    control: Control | None = None,
) -> Fetched:
    """One safetensors file of `repo_id`: from the hub's cache when it lies there, else downloaded into `folder`.

    An interrupted download starts anew. A wish to cancel is heard between the pieces of a file that comes over plain
    HTTP, and after a file that comes over Xet; it never gets its final name then.

    Args:
        filename: path inside the repository; None where it holds one safetensors file, or one of the usual LoRA name.
        offline: use only what is on this machine.
        endpoint: address of another hub with the same API; the token saved by `hf auth login` is not sent there.

    Raises:
        HubError: unreachable, refused, not there, or not the promised file.
        HubCancelledError: `control.cancelled` said so.
        InvalidInputError: no such repository name, several files to choose from, or a folder that is not for models.
        MissingDependencyError: huggingface_hub is not installed.
    """
    control = control or Control()
    checked_folder(folder)
    with _errors(repo_id):
        if offline:
            return _local(repo_id, filename, folder)
        api = api_for(token, endpoint)
        info = _patiently(repo_id, control, lambda: _record(lambda: api.model_info(repo_id, files_metadata=True)))
        files = {item.rfilename: item for item in info.siblings or []}
        chosen = _choose(repo_id, filename, list(files))
        partial = partial_from_info(repo_id, info)
        return replace(_download(api, repo_id, files[chosen], folder, control), partial=partial)


def search(
    text: str,
    kind: ModelKind,
    base_model: str | None,
    author: str | None,
    sort: str,
    limit: int,
    *,
    token: str | None = None,
    endpoint: str | None = None,
) -> tuple[ModelMetadata, ...]:
    """Repositories of this kind, most of `sort` first; their names count as the models' names.

    Args:
        base_model: repository of the base model, as in `stabilityai/stable-diffusion-xl-base-1.0`.
    """
    with _errors("search"):
        api = api_for(token, endpoint)
        tags = [*KIND_TAGS[kind], *([f"base_model:{base_model}"] if base_model else [])]

        def ask() -> list[Any]:
            return list(
                api.list_models(
                    search=text or None, filter=tags, author=author, sort=sort, limit=limit, full=True, cardData=True
                )
            )

        return tuple(
            replace(
                partial_from_info(item.id, item),
                model_id=f"{kind}:{clean_text(item.id, 200)}",
                name=clean_text(item.id, 200).rpartition("/")[2],
                kind=kind,
            )
            for item in _record(ask)  # the library itself asks a busy hub again
        )


def cached_repos() -> list[Any]:
    """The model repositories in the hub's own cache, as huggingface_hub describes them."""
    cache = _cache()
    return [repo for repo in cache.repos if repo.repo_type == "model"] if cache else []


def delete_cached(repo_id: str, dry_run: bool) -> tuple[tuple[str, ...], int]:
    """Paths and bytes that go (or, `dry_run`, would go) with a repository in the hub's own cache.

    Raises:
        HubNotFoundError: it is not there.
    """
    repos = [repo for repo in cached_repos() if repo.repo_id == repo_id]
    if not repos:
        raise HubNotFoundError(f"Hugging Face {repo_id} is not in its cache on this machine")
    # of this repository alone: copies of one repository share commit hashes
    alone_here = replace(_cache(), repos=frozenset(repos))
    strategy = alone_here.delete_revisions(*(revision.commit_hash for revision in repos[0].revisions))
    groups = (strategy.repos, strategy.snapshots, strategy.refs, strategy.blobs)
    if not dry_run:
        strategy.execute()
    return tuple(sorted(str(path) for group in groups for path in group)), strategy.expected_freed_size


def _cache() -> Any:
    try:
        from huggingface_hub import scan_cache_dir
        from huggingface_hub.errors import CacheNotFound
    except ImportError as error:
        raise missing_hubs(error) from None
    try:
        return scan_cache_dir()
    except CacheNotFound:
        return None


def api_for(token: str | None, endpoint: str | None) -> Any:
    """The hub's client; a token that was saved on this machine goes to the hub itself only."""
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise missing_hubs(error) from None
    return HfApi(endpoint=endpoint, token=checked_token(token) or (None if endpoint is None else False))


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


def _download(api: Any, repo_id: str, file: Any, folder: Path, control: Control) -> Fetched:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    empty = ModelMetadata(model_id="", name="")
    cached = try_to_load_from_cache(repo_id, file.rfilename)
    if isinstance(cached, str):
        return Fetched(Path(cached), empty, downloaded=False)
    sha256 = file.lfs.sha256 if file.lfs else None
    final = folder / local_name(repo_id, file.rfilename)
    with writing(folder), alone(final, control):
        if final.exists():
            if final.stat().st_size == file.size and (sha256 is None or sha256_of(final) == sha256):
                return Fetched(final, empty, downloaded=False)
            raise HubError(f"{final} already exists and is another file; pass another folder=")
        url = hf_hub_url(repo_id, file.rfilename, endpoint=api.endpoint)
        known = _patiently(repo_id, control, lambda: get_hf_file_metadata(url, token=api.token, endpoint=api.endpoint))
        check_address(known.location, api.endpoint)
        key = hashlib.sha256(f"{repo_id}/{file.rfilename}".encode()).hexdigest()[:16]
        staging = folder / f"{PARTIAL_PREFIX}{key}"
        try:
            got = _patiently(
                repo_id,
                control,
                lambda: api.hf_hub_download(
                    repo_id, file.rfilename, local_dir=staging, tqdm_class=_progress(control, file.size)
                ),
            )
            control.check()
            verify(Path(got), final.name, sha256)
            settle(Path(got), final)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return Fetched(final, empty, downloaded=True)


def _progress(control: Control, size: int | None) -> type:
    """A tqdm class that shows nothing and tells `control`."""
    from tqdm import tqdm

    class Silent(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*args, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            control.report(int(self.n), int(self.total) if self.total else size)

        # Xet counts what it receives beside what it writes; having these, it keeps one bar
        def update_transfer(self, n: float | None = 1) -> None:
            pass

        def set_transfer_postfix_str(self, text: str = "", refresh: bool = True) -> None:
            pass

    return Silent


def _record(call: Callable[[], Result]) -> Result:
    """What the library makes of a record. HubError where the hub sent something else: the library expects none."""
    from huggingface_hub.errors import HFValidationError

    try:
        return call()
    except HFValidationError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise HubError(f"what was sent is no record ({type(error).__name__})") from None


def _patiently(what: str, control: Control, call: Callable[[], Result]) -> Result:
    from httpx2 import TransportError
    from huggingface_hub.errors import HfHubHTTPError

    def attempt() -> Result:
        try:
            return call()
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            retry_after = error.response.headers.get("retry-after") if status else None
            reason = refusal(f"Hugging Face {what}", status, retry_after, control.now())
            if isinstance(reason, TryAgainError):
                raise reason from None
            raise
        except TransportError as error:
            raise TryAgainError(f"Hugging Face {what}: {type(error).__name__}: {error}") from None

    return control.patiently(attempt)


@contextmanager
def _errors(what: str) -> Iterator[None]:
    """The library's errors as this package's."""
    try:
        from httpx2 import HTTPError
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise missing_hubs(error) from None

    try:
        yield
    except HFValidationError as error:
        raise InvalidInputError(f"repo_id: {error}") from None
    except HfHubHTTPError as error:
        raise HubError(f"Hugging Face {what}: {str(error).splitlines()[0]}") from None
    except (HTTPError, OSError) as error:
        if isinstance(error, HubError):
            raise
        raise HubError(f"Hugging Face {what}: {type(error).__name__}: {error}") from None


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
