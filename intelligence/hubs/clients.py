"""CivitAI and Hugging Face, only when asked: search, details, downloads, and facts for files that are here already."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..config import require
from ..errors import HubError
from ..models.kinds import ModelKind
from ..models.metadata import ModelMetadata
from ..records import Record
from . import civitai, huggingface
from .civitai import CIVITAI_API
from .client import Control, checked_token
from .downloads import fetch

Progress = Callable[[int, int | None], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class SearchPage(Record):
    """Models that a hub found, and how to ask for the next ones."""

    models: tuple[ModelMetadata, ...] = ()
    next_cursor: str | None = None


@dataclass(frozen=True)
class CleanupReport(Record):
    """What `cleanup_cache` freed, or would free."""

    removed: tuple[str, ...] = ()
    """Paths."""
    freed_bytes: int = 0
    kept: int = 0
    dry_run: bool = True


@dataclass(frozen=True)
class CachedRepo(Record):
    """One model repository in Hugging Face's own cache on this machine."""

    repo_id: str
    size_bytes: int = 0
    last_used: float = 0.0
    """Seconds since 1970."""
    revisions: tuple[str, ...] = ()
    """Commit hashes, sorted."""


class CivitAI:
    """CivitAI's public API.

    Args:
        token: for downloads that need an account; sent to the host of `base_url` only, and with downloads only.
        base_url: another address of the same API.
        offline: every method raises HubError before anything is sent.
        sleep, now: wait for so many seconds; seconds since 1970.

    Every method raises HubError when the hub is unreachable, refuses or answers nonsense; busy ones are asked again
    after the time that they name, or after 1 to 30 seconds, at most six times.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        base_url: str = CIVITAI_API,
        offline: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        require(base_url.startswith(("https://", "http://")), f"base_url must be an http address, got {base_url!r}")
        self._token = checked_token(token)
        self._base_url = base_url
        self._offline = offline
        self._control = Control(sleep=sleep, now=now)

    def by_hashes(
        self, hashes: Iterable[str], *, on_progress: Progress | None = None, cancelled: Cancelled | None = None
    ) -> dict[str, ModelMetadata]:
        """Hash, as given → what CivitAI knows of that file; unknown ones are left out. Only the hashes are sent.

        Args:
            hashes: SHA-256 (100 a request), or any other that CivitAI records (AutoV2, AutoV3 …: one a request).
            on_progress: called with (hashes asked, hashes in all).

        Raises:
            InvalidInputError: one of them is no hash.
        """
        found: dict[str, ModelMetadata] = {}
        for answer in self.each_by_hashes(hashes, on_progress=on_progress, cancelled=cancelled):
            found |= {text: facts for text, facts in answer.items() if facts is not None}
        return found

    def each_by_hashes(
        self, hashes: Iterable[str], *, on_progress: Progress | None = None, cancelled: Cancelled | None = None
    ) -> Iterator[dict[str, ModelMetadata | None]]:
        """`by_hashes`, one answer of the hub after the other, with None for the hashes that it does not know."""
        given = list(dict.fromkeys(hashes))
        for text in given:
            require(civitai.is_hash(text), f"{text!r} is not the hash of a file")
        control = self._ready(on_progress, cancelled)
        whole = [text for text in given if len(text) == 64]
        batches = [whole[first : first + civitai.MAX_HASHES] for first in range(0, len(whole), civitai.MAX_HASHES)]
        batches += [[text] for text in given if len(text) != 64]
        done = 0
        for batch in batches:
            if len(batch[0]) == 64:
                found = civitai.fetch_by_sha256(batch, self._base_url, control)
            else:
                found = civitai.fetch_by_hash(batch[0], self._base_url, control)
            yield {text: found.get(text.lower()) for text in batch}
            done += len(batch)
            control.report(done, len(given))

    def search(
        self,
        text: str = "",
        *,
        kind: ModelKind | None = None,
        base_model: str | None = None,
        sort: str = "Most Downloaded",
        limit: int = 20,
        cursor: str | None = None,
    ) -> SearchPage:
        """Models by name and text; those that have no safetensors file, or of other kinds, are left out.

        Args:
            base_model: as CivitAI writes it: `SDXL 1.0`, `Illustrious`, `Pony` …
            sort: `Most Downloaded`, `Highest Rated` or `Newest`.
            limit: 1 to 100 asked for.
            cursor: `next_cursor` of the page before.

        Raises:
            InvalidInputError: unknown `sort`, or a `limit` out of its range.
        """
        require(sort in civitai.SORTS, f"sort must be one of {', '.join(civitai.SORTS)}, got {sort!r}")
        _check_limit(limit)
        control = self._ready()
        return SearchPage(
            *civitai.fetch_page(self._base_url, text, kind, base_model, sort, limit, cursor, control=control)
        )

    def details(self, model_id: int, version: int | None = None) -> ModelMetadata:
        """What CivitAI says of a model, for `version` (its id) or else the newest one.

        Raises:
            HubNotFoundError: there is no such model.
        """
        record = civitai.fetch_record(model_id, self._base_url, self._ready())
        return ModelMetadata.from_civitai(record, version)

    def download(
        self,
        model_id: int,
        folder: str | Path,
        *,
        version: int | None = None,
        on_progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Path:
        """The model's file in `folder`, complete and checked; see `downloads.fetch`.

        Args:
            on_progress: called with (bytes done, bytes in all or None).
            cancelled: asked at least every 30 seconds; what has come so far is continued by the next call.

        Raises:
            HubCancelledError: `cancelled` said so.
            InvalidInputError: the folder lies in custom_nodes.
        """
        control = self._ready(on_progress, cancelled)
        record = civitai.fetch_record(model_id, self._base_url, replace(control, on_progress=None))
        download = civitai.download_of(record, version, self._token, self._base_url)
        return fetch(download, Path(folder).expanduser().absolute(), control)

    def _ready(self, on_progress: Progress | None = None, cancelled: Cancelled | None = None) -> Control:
        if self._offline:
            raise HubError("CivitAI is not asked: offline is set")
        return replace(self._control, on_progress=on_progress, cancelled=cancelled)


class HuggingFace:
    """The Hugging Face hub, through `huggingface_hub` and with its cache.

    Args:
        token: None: the one that `hf auth login` saved, if any, and for the hub itself only.
        endpoint: address of another hub with the same API.
        offline: `search` raises HubError, `download` finds what is on this machine; nothing is sent.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        endpoint: str | None = None,
        offline: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._token = checked_token(token)
        self._endpoint = endpoint
        self._offline = offline
        self._control = Control(sleep=sleep, now=now)

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
        """Repositories of this kind, as models that are not on this machine.

        Args:
            base_model: repository of the base model.
            sort: `downloads`, `likes`, `created_at`, `last_modified` or `trending_score`, the most first.
            limit: 1 to 100.

        Raises:
            HubError: unreachable, refused, or offline.
            InvalidInputError: unknown `sort`, or a `limit` out of its range.
        """
        require(sort in huggingface.SORTS, f"sort must be one of {', '.join(huggingface.SORTS)}, got {sort!r}")
        _check_limit(limit)
        if self._offline:
            raise HubError("Hugging Face is not asked: offline is set")
        given = {"token": self._token, "endpoint": self._endpoint}
        found = huggingface.search(text, kind, base_model, author, sort, limit, **given)
        return SearchPage(found)

    def download(
        self,
        repo_id: str,
        folder: str | Path,
        *,
        filename: str | None = None,
        on_progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Path:
        """One safetensors file of a repository, in `folder` or in the hub's own cache; see `huggingface.fetch`."""
        return huggingface.fetch(
            repo_id,
            filename,
            Path(folder).expanduser().absolute(),
            token=self._token,
            offline=self._offline,
            endpoint=self._endpoint,
            control=replace(self._control, on_progress=on_progress, cancelled=cancelled),
        ).path

    def cached(self) -> list[CachedRepo]:
        """Model repositories in the hub's own cache, the largest first."""
        found = [
            CachedRepo(
                repo.repo_id,
                repo.size_on_disk,
                repo.last_accessed,
                tuple(sorted(revision.commit_hash for revision in repo.revisions)),
            )
            for repo in huggingface.cached_repos()
        ]
        return sorted(found, key=lambda repo: (-repo.size_bytes, repo.repo_id))

    def delete_cached(self, repo_id: str, dry_run: bool = True) -> CleanupReport:
        """Delete every revision of a repository from the hub's own cache, or only say what that would free.

        Raises:
            HubNotFoundError: it is not in the cache.
        """
        removed, freed = huggingface.delete_cached(repo_id, dry_run)
        return CleanupReport(removed=removed, freed_bytes=freed, kept=len(self.cached()) - dry_run, dry_run=dry_run)


def _check_limit(limit: int) -> None:
    require(
        isinstance(limit, int) and not isinstance(limit, bool) and 1 <= limit <= 100,
        f"limit must be from 1 to 100, got {limit!r}",
    )
