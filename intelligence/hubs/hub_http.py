"""HTTP requests to model hubs: tokens stay with their origin, redirects are checked, answers are bounded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from ..errors import HubError, InvalidInputError, MissingDependencyError, install_command
from ..models.sanitize import parse_json
from .addresses import redirect_target, same_origin, without_secrets
from .hub_progress import Control, HubNotFoundError, TryAgainError

MAX_REDIRECTS = 5
MAX_JSON_BYTES = 32 * 1024 * 1024
TIMEOUT_SECONDS = 30.0

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

_STATUS_REASONS = {
    401: "refused without a valid token; create one in your account settings there and pass token=",
    403: "forbidden; the model may need early access, or its licence accepted with your account",
    404: "not found",
    429: "too many requests; try again later",
}


@dataclass(frozen=True)
class Request:
    """Request to a hub."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    token: str | None = field(default=None, repr=False)
    """Bearer token, sent to the origin of `url` only."""
    redirects: int = 0
    """Redirects that are followed."""


def missing_hubs(error: ImportError) -> MissingDependencyError:
    """Return the error that names the extra to install."""
    return MissingDependencyError(f"model hubs need {error.name or 'more packages'}: {install_command('hubs')}")


def checked_token(token: str | None) -> str | None:
    """Return `token`. Raises InvalidInputError, which does not repeat it, when no header could carry it."""
    if token is not None and not (isinstance(token, str) and re.fullmatch(r"[!-~]+", token)):
        raise InvalidInputError("token must be printable ASCII without spaces; it is not shown here")
    return token


def fetch_json(url: str, *, body: Any = None, control: Control | None = None) -> Any:
    """Return the JSON at `url`, or the answer to posting `body` there; no token is sent, no redirect followed.

    Raises:
        HubNotFoundError: there is no such thing.
        HubError: unreachable, refused, too large, or not JSON.
    """
    headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
    request = Request(url, headers=headers)
    if body is not None:
        content = json.dumps(body).encode()
        request = Request(url, "POST", headers | {"Content-Type": "application/json"}, content)
    control = control or Control()

    def attempt() -> bytes:
        data = bytearray()
        with open_response(request, control) as response:
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > MAX_JSON_BYTES:
                    limit = MAX_JSON_BYTES // 1024 // 1024
                    raise HubError(f"{without_secrets(url)}: the answer is larger than {limit} MB")
                control.check()
        return bytes(data)

    try:
        return parse_json(control.retry(attempt))
    except ValueError as error:
        raise HubError(f"{without_secrets(url)}: the answer is {error}") from None


@contextmanager
def open_response(request: Request, control: Control, statuses: tuple[int, ...] = (200,)) -> Iterator[Any]:
    """Open an `httpx.Response` of one of these statuses, its body not yet read.

    Raises:
        TryAgainError: the hub is busy or the connection broke, also while the body is read.
        HubError: refused, or redirected to an address that no hub has.
    """
    try:
        import httpx
    except ImportError as error:
        raise missing_hubs(error) from None

    url, redirects = request.url, request.redirects
    try:
        agent = {"User-Agent": "intelligent-generation"}
        with httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, headers=agent) as client:
            while True:
                headers = dict(request.headers)
                if request.token and same_origin(url, request.url):
                    headers["Authorization"] = f"Bearer {request.token}"
                with client.stream(request.method, url, headers=headers, content=request.content) as response:
                    if response.status_code in statuses:
                        yield response
                        return
                    if not response.is_redirect or redirects == 0:
                        retry_after = response.headers.get("retry-after")
                        raise status_error(without_secrets(url), response.status_code, retry_after, control.now())
                    url = redirect_target(url, response.headers.get("location", ""))
                    redirects -= 1
    except httpx.TransportError as error:
        raise TryAgainError(f"{without_secrets(url)}: {type(error).__name__}: {error}") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise HubError(f"{without_secrets(url)}: {type(error).__name__}") from None


def status_error(where: str, status: int, retry_after: str | None, now: float) -> HubError:
    """Return the error for an answer of this status: a TryAgainError where the failure may pass."""
    reason = f"{where}: {_STATUS_REASONS.get(status, f'answered {status}')}"
    if status in RETRIED_STATUSES:
        return TryAgainError(reason, retry_after_seconds(retry_after, now))
    return HubNotFoundError(reason) if status == 404 else HubError(reason)


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """Return `Retry-After`, given in seconds or as a date, as seconds from `now`; None where it is neither."""
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None
