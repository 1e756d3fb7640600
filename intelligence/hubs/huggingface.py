"""Models from the Hugging Face hub, through `huggingface_hub`."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ..config import Hub, require
from ..errors import HubError, InvalidInputError
from ..given_files import expanded
from ..models.fields import base_model_finding, strengths_in, tag_counts, trigger_sets
from ..models.kinds import ModelKind
from ..models.metadata import ModelMetadata
from ..models.sanitize import as_dict, clean_text, safe_file_name
from ..validation import checked
from .downloads import PARTIAL_PREFIX, checked_folder, download_lock, move_into_place, sha256_of, verify, writable
from .hub_http import check_address, checked_token, missing_hubs, not_asked, status_error
from .hub_work import (
    Cancelled,
    CleanupReport,
    Control,
    Fetched,
    HubNotFoundError,
    Progress,
    SearchPage,
    TryAgainError,
    UnreachableError,
)

SOURCE = "huggingface"

KIND_TAGS = {
    ModelKind.LORA: ("lora",),
    ModelKind.CHECKPOINT: ("diffusers", "text-to-image"),
    ModelKind.VAE: ("vae",),
    ModelKind.EMBEDDING: ("textual_inversion",),
    ModelKind.UPSCALER: ("super-resolution",),
}
"""Tags that repositories of a kind have on the hub."""

SORTS = {
    "downloads": "downloads",
    "likes": "likes",
    "created_at": "createdAt",
    "last_modified": "lastModified",
    "trending_score": "trendingScore",
}
"""Order → its name at the hub."""

_GENERIC_NAMES = ("pytorch_lora_weights.safetensors", "model.safetensors", "diffusion_pytorch_model.safetensors")
_IGNORED_TAGS = ("diffusers", "safetensors", "lora", "text-to-image", "template:", "base_model:", "license:", "region:")

Result = TypeVar("Result")


class HuggingFace:
    """The Hugging Face hub, through `huggingface_hub` and with its cache.

    Args:
        token: None: the one that `hf auth login` saved, if any, and for the hub itself only.
        endpoint: address of another hub with the same API.
        offline: `search` raises HubError, and files are found on this machine only; nothing is sent.
        sleep: wait for so many seconds.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        endpoint: str | None = None,
        offline: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._token = checked_token(token)
        self._endpoint = endpoint
        self._unasked = not_asked(Hub.HUGGING_FACE, offline)
        self._sleep = sleep

    def search(
        self,
        text: str = "",
        *,
        kind: ModelKind = ModelKind.LORA,
        base_model: str | None = None,
        author: str | None = None,
        sort: str = "downloads",
        limit: int = 20,
    ) -> SearchPage:
        """Find repositories of this kind, as models named after them that are not on this machine.

        Args:
            base_model: repository of the base model, as in `stabilityai/stable-diffusion-xl-base-1.0`.
            sort: `downloads`, `likes`, `created_at`, `last_modified` or `trending_score`, the most first.
            limit: 1 to 100.

        Raises:
            HubError: unreachable, refused, or offline.
            InvalidInputError: unknown `sort`, or a `limit` out of its range.
        """
        require(sort in SORTS, f"sort must be one of {', '.join(SORTS)}, got {sort!r}")
        checked("limit", limit, int, ge=1, le=100)
        if self._unasked:
            raise HubError(f"Hugging Face is not asked: {self._unasked}")
        query = {
            "search": text or None,
            "filter": [*KIND_TAGS[kind], *([f"base_model:{base_model}"] if base_model else [])],
            "author": author,
            "sort": SORTS[sort],
            "limit": limit,
            "full": True,
            "cardData": True,
        }
        given = {name: value for name, value in query.items() if value is not None}
        control = Control(sleep=self._sleep)
        with _errors("search"):
            api = self._api()
            repos = _retry("search", control, lambda: _record(lambda: _found(api, given)))[:limit]
        models = []
        for repo in repos:
            name = clean_text(repo.id, 200)
            facts = facts_from_info(repo.id, repo)
            models.append(replace(facts, model_id=f"{kind}:{name}", name=name.rpartition("/")[2], kind=kind))
        return SearchPage(tuple(models))

    def fetch(
        self,
        repo_id: str,
        folder: str | Path,
        *,
        filename: str | None = None,
        on_progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Fetched:
        """Find one safetensors file of `repo_id` in the hub's own cache, or download it into `folder`.

        An interrupted download starts again. `cancelled` is called between the pieces of a file that comes over plain
        HTTP, and after a file that comes over Xet; a cancelled download never gets its final name.

        Args:
            filename: path inside the repository; None where it holds one safetensors file, or one of the usual LoRA
                name.
            on_progress: called with (bytes done, bytes in all or None).

        Raises:
            HubError: unreachable, refused, not there, or not the promised file.
            HubCancelledError: `cancelled` returned True.
            InvalidInputError: no such repository name, several files to choose from, or a folder in custom_nodes.
            MissingDependencyError: huggingface_hub is not installed.
        """
        target = checked_folder(expanded(folder).absolute())
        control = Control(on_progress, cancelled, self._sleep)
        with _errors(repo_id):
            if self._unasked:
                return _local(repo_id, filename, target)
            api = self._api()
            info = _retry(repo_id, control, lambda: _record(lambda: api.model_info(repo_id, files_metadata=True)))
            files = {item.rfilename: item for item in info.siblings or []}
            file = files[_choose(repo_id, filename, list(files))]
            path, downloaded = _download(api, repo_id, file, target, control)
            return Fetched(path, facts_from_info(repo_id, info), downloaded)

    def delete_cached(self, repo_id: str, dry_run: bool = True) -> CleanupReport:
        """Delete every revision of a repository from the hub's own cache, or with `dry_run` only report the files.

        Raises HubNotFoundError where it is not in the cache.
        """
        scan = _scan_cache()
        models = [repo for repo in scan.repos if repo.repo_type == "model"] if scan else []
        repos = [repo for repo in models if repo.repo_id == repo_id]
        if not repos:
            raise HubNotFoundError(f"Hugging Face {repo_id} is not in its cache on this machine")
        # copies of one repository share commit hashes: the others are left out of this scan
        found = replace(scan, repos=frozenset(repos))
        strategy = found.delete_revisions(*(revision.commit_hash for revision in repos[0].revisions))
        groups = (strategy.repos, strategy.snapshots, strategy.refs, strategy.blobs)
        if not dry_run:
            strategy.execute()
        paths = tuple(sorted(str(path) for group in groups for path in group))
        return CleanupReport(paths, strategy.expected_freed_size, kept=len(models) - 1, dry_run=dry_run)

    def _api(self) -> Any:
        """Return the library's client; a token that was saved on this machine goes to the hub itself only."""
        try:
            from huggingface_hub import HfApi
        except ImportError as error:
            raise missing_hubs(error) from None
        return HfApi(endpoint=self._endpoint, token=self._token or (None if self._endpoint is None else False))


def _scan_cache() -> Any:
    try:
        from huggingface_hub import scan_cache_dir
        from huggingface_hub.errors import CacheNotFound
    except ImportError as error:
        raise missing_hubs(error) from None
    try:
        return scan_cache_dir()
    except CacheNotFound:
        return None


def facts_from_info(repo_id: str, info: Any) -> ModelMetadata:
    """Return the facts in `HfApi.model_info` of a repository, as a partial record."""
    card = info.card_data.to_dict() if info.card_data else {}
    base = card.get("base_model")
    prompt = clean_text(card.get("instance_prompt"), 500)
    tags = [tag for tag in info.tags or [] if not tag.startswith(_IGNORED_TAGS)]
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
    """Return the name to keep a repository's file under: its own, or the repository's where that is a generic one."""
    last = filename.rpartition("/")[2]
    return safe_file_name(f"{repo_id.rpartition('/')[2]}.safetensors" if last in _GENERIC_NAMES else last)


def _download(api: Any, repo_id: str, file: Any, folder: Path, control: Control) -> tuple[Path, bool]:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    cached = try_to_load_from_cache(repo_id, file.rfilename)
    if isinstance(cached, str):
        return Path(cached), False
    sha256 = file.lfs.sha256 if file.lfs else None
    final = folder / local_name(repo_id, file.rfilename)
    with writable(folder), download_lock(final, control):
        if final.exists():
            if final.stat().st_size == file.size and (sha256 is None or sha256_of(final) == sha256):
                return final, False
            raise HubError(f"{final} already exists and is another file; pass another folder=")
        url = hf_hub_url(repo_id, file.rfilename, endpoint=api.endpoint)
        known = _retry(repo_id, control, lambda: get_hf_file_metadata(url, token=api.token, endpoint=api.endpoint))
        check_address(known.location, api.endpoint)
        key = hashlib.sha256(f"{repo_id}/{file.rfilename}".encode()).hexdigest()[:16]
        staging = folder / f"{PARTIAL_PREFIX}{key}"
        try:
            got = _retry(
                repo_id,
                control,
                lambda: api.hf_hub_download(
                    repo_id, file.rfilename, local_dir=staging, tqdm_class=_progress(control, file.size)
                ),
                patient=True,
            )
            control.check()
            verify(Path(got), final.name, sha256)
            move_into_place(Path(got), final)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return final, True


def _progress(control: Control, size: int | None) -> type:
    """Return a tqdm class that shows nothing and reports to `control`."""
    from tqdm import tqdm

    class Silent(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*args, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            control.report(int(self.n), int(self.total) if self.total else size)

        # Xet shows a second bar for what it receives, unless the first has these methods
        def update_transfer(self, n: float | None = 1) -> None:
            pass

        def set_transfer_postfix_str(self, text: str = "", refresh: bool = True) -> None:
            pass

    return Silent


def _found(api: Any, query: dict[str, Any]) -> list[Any]:
    """Return what a search finds; `HfApi.list_models` would ask six times, for half a minute, where no hub answers."""
    from huggingface_hub import ModelInfo
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    answer = get_session().get(f"{api.endpoint}/api/models", params=query, headers=build_hf_headers(token=api.token))
    hf_raise_for_status(answer)
    return [ModelInfo(**{"siblings": None, **item}) for item in answer.json()]


def _record(call: Callable[[], Result]) -> Result:
    """Return the library's reading of a record. Raises HubError for any other answer, which the library expects not."""
    from huggingface_hub.errors import HFValidationError

    try:
        return call()
    except HFValidationError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise HubError(f"Hugging Face sent what is no record ({type(error).__name__})") from None


def _retry(what: str, control: Control, call: Callable[[], Result], patient: bool = False) -> Result:
    from httpx2 import ConnectError, ConnectTimeout, TransportError
    from huggingface_hub.errors import HfHubHTTPError

    def attempt() -> Result:
        try:
            return call()
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            retry_after = error.response.headers.get("retry-after") if status else None
            reason = status_error(f"Hugging Face {what}", status, retry_after, control.now())
            if isinstance(reason, TryAgainError):
                raise reason from None
            raise
        except (ConnectError, ConnectTimeout) as error:
            raise UnreachableError("Hugging Face", error) from None
        except TransportError as error:
            raise TryAgainError(f"Hugging Face {what}: {type(error).__name__}: {error}") from None

    return control.retry(attempt, patient)


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        from httpx2 import ConnectError, ConnectTimeout, HTTPError
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise missing_hubs(error) from None

    try:
        yield
    except HFValidationError as error:
        raise InvalidInputError(f"repo_id: {error}") from None
    except HfHubHTTPError as error:
        raise HubError(f"Hugging Face {what}: {str(error).splitlines()[0]}") from None
    except (ConnectError, ConnectTimeout) as error:
        raise UnreachableError("Hugging Face", error) from None
    except (HTTPError, OSError) as error:
        if isinstance(error, HubError):
            raise
        raise HubError(f"Hugging Face {what}: {type(error).__name__}: {error}") from None


def _local(repo_id: str, filename: str | None, folder: Path) -> Fetched:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    facts = ModelMetadata(model_id="", name="", source=SOURCE, source_id=repo_id)
    kept = folder / local_name(repo_id, filename or _GENERIC_NAMES[0])
    if kept.is_file():
        return Fetched(kept, facts, downloaded=False)
    try:
        snapshot = Path(snapshot_download(repo_id, local_files_only=True))
    except LocalEntryNotFoundError:
        raise HubError(f"Hugging Face {repo_id} is not on this machine; register it once with offline=False") from None
    files = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*.safetensors")]
    return Fetched(snapshot / _choose(repo_id, filename, files), facts, downloaded=False)


def _choose(repo_id: str, filename: str | None, files: list[str]) -> str:
    models = sorted(name for name in files if name.endswith(".safetensors"))
    if filename is not None:
        if filename not in models:
            raise HubError(f"Hugging Face {repo_id}: no file {filename!r}; it holds {', '.join(models[:10]) or 'none'}")
        return filename
    if len(models) == 1 or _GENERIC_NAMES[0] in models:
        return models[0] if len(models) == 1 else _GENERIC_NAMES[0]
    if not models:
        raise HubError(f"Hugging Face {repo_id}: holds no .safetensors file")
    raise InvalidInputError(f"{repo_id} holds several files; pass filename= one of {', '.join(models[:20])}")
