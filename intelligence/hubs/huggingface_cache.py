"""Hugging Face's own cache on this machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .hub_http import missing_hubs
from .hub_progress import HubNotFoundError
from .hub_records import CachedRepo, CleanupReport


def cached_repos() -> list[CachedRepo]:
    """Return the model repositories in the cache, the largest first."""
    found = [
        CachedRepo(
            repo.repo_id,
            repo.size_on_disk,
            repo.last_accessed,
            tuple(sorted(revision.commit_hash for revision in repo.revisions)),
        )
        for repo in _model_repos()
    ]
    return sorted(found, key=lambda repo: (-repo.size_bytes, repo.repo_id))


def delete_cached(repo_id: str, dry_run: bool = True) -> CleanupReport:
    """Delete every revision of a repository from the cache, or with `dry_run` only report the files.

    Raises:
        HubNotFoundError: it is not in the cache.
    """
    every = _model_repos()
    repos = [repo for repo in every if repo.repo_id == repo_id]
    if not repos:
        raise HubNotFoundError(f"Hugging Face {repo_id} is not in its cache on this machine")
    # copies of one repository share commit hashes: the others are left out of this scan
    scan = replace(_scan(), repos=frozenset(repos))
    strategy = scan.delete_revisions(*(revision.commit_hash for revision in repos[0].revisions))
    groups = (strategy.repos, strategy.snapshots, strategy.refs, strategy.blobs)
    if not dry_run:
        strategy.execute()
    paths = tuple(sorted(str(path) for group in groups for path in group))
    return CleanupReport(paths, strategy.expected_freed_size, kept=len(every) - 1, dry_run=dry_run)


def _model_repos() -> list[Any]:
    scan = _scan()
    return [repo for repo in scan.repos if repo.repo_type == "model"] if scan else []


def _scan() -> Any:
    try:
        from huggingface_hub import scan_cache_dir
        from huggingface_hub.errors import CacheNotFound
    except ImportError as error:
        raise missing_hubs(error) from None
    try:
        return scan_cache_dir()
    except CacheNotFound:
        return None
