"""CivitAI's public API: models by id, hash and search, and downloads of their files."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ..config import Hub, require
from ..errors import HubError
from ..given_files import expanded
from ..models.civitai_record import TYPES, file_fields, file_of, hashes_of, sha256_of, size_of, version_of
from ..models.kinds import ModelKind
from ..models.metadata import ModelMetadata
from ..models.sanitize import as_dict, clean_text, dicts, safe_file_name
from ..validation import checked
from .downloads import Download, download_file
from .hub_http import check_address, checked_token, fetch_json, not_asked, same_origin
from .hub_work import Cancelled, Control, Fetched, HubNotFoundError, Progress, SearchPage

CIVITAI_API = "https://civitai.com/api/v1"

SORTS = ("Most Downloaded", "Highest Rated", "Newest")

MAX_HASHES = 100
"""SHA-256 in one request."""

MAX_MODELS = 100
"""Models in one request."""

_HASH = re.compile(r"[0-9a-f]{8}|[0-9a-f]{10}|[0-9a-f]{12}|[0-9a-f]{64}", re.IGNORECASE)
"""CRC32 and AutoV1; AutoV2; AutoV3; SHA-256 and BLAKE3."""


class CivitAI:
    """CivitAI's public API.

    Args:
        token: for downloads that need an account; sent to the host of `base_url` only, and with downloads only.
        base_url: another address of the same API.
        offline: every method raises HubError before anything is sent.
        sleep, now: wait for so many seconds; seconds since 1970.

    Every method raises HubError when the hub is unreachable, refuses or answers nonsense. A busy hub is asked again
    after the time that it names, or after 1 to 30 seconds, at most six times; one that cannot be reached, twice.
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
        self._base_url = base_url.rstrip("/")
        self._unasked = not_asked(Hub.CIVITAI, offline)
        self._sleep = sleep
        self.now = now

    def each_by_hashes(
        self, hashes: Iterable[str], *, on_progress: Progress | None = None, cancelled: Cancelled | None = None
    ) -> Iterator[dict[str, ModelMetadata | None]]:
        """Yield each answer of the hub: hash, as given → facts about that file, or None. Only the hashes are sent.

        Args:
            hashes: SHA-256 (100 a request), or any other that CivitAI records (AutoV2, AutoV3 …: one a request).
            on_progress: called with (hashes asked, hashes in all).

        Raises:
            InvalidInputError: one of them is no hash.
        """
        given = list(dict.fromkeys(hashes))
        for text in given:
            require(isinstance(text, str) and bool(_HASH.fullmatch(text)), f"{text!r} is not the hash of a file")
        control = self._control(on_progress, cancelled)
        whole = [text for text in given if len(text) == 64]
        batches = [whole[first : first + MAX_HASHES] for first in range(0, len(whole), MAX_HASHES)]
        batches += [[text] for text in given if len(text) != 64]
        done = 0
        for batch in batches:
            found = self._versions_by_hash(batch, control)
            yield {text: found.get(text.lower()) for text in batch}
            done += len(batch)
            control.report(done, len(given))

    def each_model(
        self, model_ids: Iterable[int], *, on_progress: Progress | None = None, cancelled: Cancelled | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield the records of the models with these numbers, up to 100 an answer; unknown ones are left out.

        Args:
            on_progress: called with (models asked, models in all).
        """
        given = list(dict.fromkeys(model_ids))
        control = self._control(on_progress, cancelled)
        for first in range(0, len(given), MAX_MODELS):
            asked = given[first : first + MAX_MODELS]
            query = urlencode({"ids": ",".join(map(str, asked)), "limit": MAX_MODELS, "nsfw": "true"})
            answer = as_dict(fetch_json(f"{self._base_url}/models?{query}", control))
            if not isinstance(answer.get("items"), list):
                raise HubError(f"{self._base_url}/models: the answer holds no list of models")
            yield [item for item in dicts(answer["items"]) if item.get("id") in asked]
            control.report(first + len(asked), len(given))

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
        """Find models by name and text; those without a safetensors file, or of other kinds, are left out.

        Args:
            base_model: as CivitAI writes it: `SDXL 1.0`, `Illustrious`, `Pony` …
            sort: `Most Downloaded`, `Highest Rated` or `Newest`.
            limit: 1 to 100 models, before any are left out.
            cursor: `next_cursor` of the page before.

        Raises:
            InvalidInputError: unknown `sort`, or a `limit` out of its range.
        """
        require(sort in SORTS, f"sort must be one of {', '.join(SORTS)}, got {sort!r}")
        checked("limit", limit, int, ge=1, le=100)
        query = [("limit", limit), ("sort", sort), ("query", text), ("baseModels", base_model), ("cursor", cursor)]
        query += [("types", name) for one, names in TYPES.items() if kind in (None, one) for name in names]
        url = f"{self._base_url}/models?{urlencode([(key, value) for key, value in query if value])}"
        answer = as_dict(fetch_json(url, self._control()))
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
        return SearchPage(tuple(models), clean_text(str(following), 500) if following else None)

    def fetch(
        self,
        model_id: int,
        folder: str | Path,
        *,
        version: int | None = None,
        on_progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Fetched:
        """Download the file of `version` (its id; None: the newest) into `folder`; see `downloads.download_file`.

        Args:
            on_progress: called with (bytes done, bytes in all or None).
            cancelled: called at least every 30 seconds; the next call resumes the download.

        Raises:
            HubCancelledError: `cancelled` returned True.
            InvalidInputError: the folder lies in custom_nodes.
        """
        target = expanded(folder).absolute()
        record = self._record(model_id, self._control(cancelled=cancelled))
        chosen = version_of(record, version)
        facts = ModelMetadata.from_civitai(record, chosen.get("id"))
        download = self._download(record, chosen)
        existed = (target / download.file_name).exists()
        path = download_file(download, target, self._control(on_progress, cancelled))
        return Fetched(path, facts, downloaded=not existed)

    def version_model(self, version: int) -> int:
        """Return the id of the model that has the version of this id. Raises HubNotFoundError."""
        url = f"{self._base_url}/model-versions/{version}"
        model_id = as_dict(fetch_json(url, self._control())).get("modelId")
        if not isinstance(model_id, int):
            raise HubError(f"{url}: the answer names no model")
        return model_id

    def _control(self, on_progress: Progress | None = None, cancelled: Cancelled | None = None) -> Control:
        if self._unasked:
            raise HubError(f"CivitAI is not asked: {self._unasked}")
        return Control(on_progress, cancelled, self._sleep, self.now)

    def _record(self, model_id: int, control: Control) -> dict[str, Any]:
        checked("model_id, CivitAI's number of the model,", model_id, int, ge=1)
        return as_dict(fetch_json(f"{self._base_url}/models/{model_id}", control))

    def _versions_by_hash(self, hashes: list[str], control: Control) -> dict[str, ModelMetadata]:
        """Return lower-case hash → facts, for up to 100 SHA-256 or one other hash."""
        url = f"{self._base_url}/model-versions/by-hash"
        try:
            if len(hashes[0]) == 64:
                found = fetch_json(url, control, body=[text.upper() for text in hashes])
            else:
                found = [fetch_json(f"{url}/{hashes[0].upper()}", control)]
        except HubNotFoundError:
            return {}
        if not isinstance(found, list):
            raise HubError(f"{url}: the answer is no list of model versions")
        return _by_hash({text.lower() for text in hashes}, dicts(found, 10 * MAX_HASHES))

    def _download(self, record: dict[str, Any], version: dict[str, Any]) -> Download:
        """Raises HubError where the version has no safetensors file, or leads to an address that no hub has."""
        file = file_of(version)
        url = clean_text(file.get("downloadUrl") or version.get("downloadUrl"), 2000)
        if not url.startswith(("https://", "http://")):
            raise HubError(f"CivitAI model {record.get('id')}: its record names no download")
        check_address(url, self._base_url)
        return Download(
            url,
            safe_file_name(file.get("name")),
            sha256=sha256_of(file),
            token=self._token if same_origin(url, self._base_url) else None,
            size=size_of(file),
        )


def _by_hash(hashes: set[str], versions: Iterable[dict[str, Any]]) -> dict[str, ModelMetadata]:
    found: dict[str, ModelMetadata] = {}
    for version in versions:
        for file in dicts(version.get("files")):
            for text in hashes & set(hashes_of(file).values()) - found.keys():
                try:
                    model = ModelMetadata(**file_fields(version, as_dict(version.get("model")), file))
                except HubError:  # known there, but of a kind that is not kept here
                    continue
                if model.problem is None:
                    found[text] = model
    return found
