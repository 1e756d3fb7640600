"""Fetching records and files from model hubs: bounded, checked, and never half at the final place."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from ..errors import HubError, MissingDependencyError, UnsupportedModelError
from .headers import read_header
from .text import parse_json

MAX_TRIES = 4
MAX_WAIT_SECONDS = 30.0
MAX_REDIRECTS = 5
MAX_RECORD_BYTES = 32 * 1024 * 1024
TIMEOUT_SECONDS = 30.0

_STATUS = {
    401: "refused without a token; create one in your account settings there and pass token=",
    403: "forbidden; the model may need early access, or its licence accepted with your account",
    404: "not found",
    429: "too many requests; try again later",
}


@dataclass(frozen=True)
class Download:
    """A file to fetch and how to recognise it."""

    url: str
    file_name: str
    sha256: str | None = None
    token: str | None = None
    """Bearer token for the host of `url`; it is not sent to any other."""


def missing_hubs(error: ImportError) -> MissingDependencyError:
    """The error that names the extra to install."""
    return MissingDependencyError(
        f'model hubs need {error.name or "more packages"}: pip install "intelligent-generation[hubs]"'
    )


def same_origin(one: str, other: str) -> bool:
    """Whether two addresses have the same scheme, host and port."""
    return _origin(one) == _origin(other)


def get_json(url: str) -> Any:
    """The JSON at `url`; redirects are not followed. Raises HubError."""
    with _response(url, None, redirects=0) as response:
        data = bytearray()
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > MAX_RECORD_BYTES:
                raise HubError(f"{url}: the answer is larger than {MAX_RECORD_BYTES // 1024 // 1024} MB")
    try:
        return parse_json(bytes(data))
    except ValueError as error:
        raise HubError(f"{url}: the answer is {error}") from None


def fetch(download: Download, folder: Path) -> Path:
    """The downloaded file in `folder`, complete and checked; one that is already there with the same hash is kept.

    Raises:
        HubError: refused, unreachable, cut off, not a safetensors file, another hash than promised, or another
            file of this name is already there. Nothing is left in `folder` then.
    """
    final = folder / download.file_name
    if final.exists():
        if download.sha256 and sha256_of(final) == download.sha256:
            return final
        raise HubError(f"{final} already exists and is another file; pass another folder=")
    with temporary_file(folder) as partial:
        with _response(download.url, download.token, MAX_REDIRECTS) as response, partial.open("wb") as file:
            kind = response.headers.get("content-type", "")
            if kind.startswith(("text/html", "application/json")):
                raise HubError(f"{download.url}: sent {kind.split(';')[0]} instead of the file")
            for chunk in response.iter_bytes():
                file.write(chunk)
        accept(partial, final, download.sha256)
    return final


@contextmanager
def temporary_file(folder: Path) -> Iterator[Path]:
    """An empty file in `folder` (made where it is missing) that is gone afterwards, unless it was moved."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".download-", suffix=".part", dir=folder)
    except OSError as error:
        raise HubError(f"cannot write to {folder}: {error.strerror or error}") from None
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def accept(partial: Path, final: Path, sha256: str | None) -> None:
    """Check the finished download and move it to its final name. Raises HubError."""
    if sha256 and (found := sha256_of(partial)) != sha256.lower():
        raise HubError(f"{final.name}: SHA-256 {found[:12]}… is not the promised {sha256[:12].lower()}…")
    try:
        read_header(partial)
    except UnsupportedModelError as error:
        raise HubError(f"{final.name}: what arrived is no model: {str(error).partition(': ')[2]}") from None
    partial.chmod(0o644)
    partial.replace(final)


def sha256_of(path: Path) -> str:
    """SHA-256 of the whole file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _response(url: str, token: str | None, redirects: int) -> Iterator[Any]:
    """The answer 200 for `url`, its body not yet read; waits and tries again where the hub asks for patience."""
    try:
        import httpx
    except ImportError as error:
        raise missing_hubs(error) from None

    origin, tries = url, 0
    try:
        with httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False) as client:
            while True:
                headers = {"Authorization": f"Bearer {token}"} if token and same_origin(url, origin) else {}
                with client.stream("GET", url, headers=headers) as response:
                    if response.status_code == 200:
                        yield response
                        return
                    if response.is_redirect and redirects > 0:
                        url, redirects = _redirected(url, response.headers.get("location", "")), redirects - 1
                        continue
                    tries += 1
                    if response.status_code not in (429, 502, 503) or tries == MAX_TRIES:
                        reason = _STATUS.get(response.status_code, f"answered {response.status_code}")
                        raise HubError(f"{_shown(url)}: {reason}")
                    wait = _wait(response.headers.get("retry-after", ""), tries)
                time.sleep(wait)
    except httpx.HTTPError as error:
        raise HubError(f"{_shown(url)}: {type(error).__name__}: {error}") from None


def _redirected(url: str, location: str) -> str:
    target = urljoin(url, location)
    if urlsplit(target).scheme not in ("https", urlsplit(url).scheme) or (_inside(target) and not _inside(url)):
        raise HubError(f"{_shown(url)}: redirects to {_shown(target)}, which is refused")
    return target


def _inside(url: str) -> bool:
    """Whether the host is this machine or its own network, by address or by the name localhost."""
    host = urlsplit(url).hostname or "localhost"
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))


def _wait(retry_after: str, tries: int) -> float:
    seconds = float(retry_after) if retry_after.isdecimal() else 2.0 ** (tries - 1)
    return min(seconds, MAX_WAIT_SECONDS)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _shown(url: str) -> str:
    """Without the query, where signed addresses and tokens stand."""
    return url.partition("?")[0]
