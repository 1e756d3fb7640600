"""Asking model hubs: known hosts, tokens that stay with theirs, patience where asked for, bounded answers."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

from ..errors import HubError, InvalidInputError, MissingDependencyError, install_command
from ..models.sanitize import parse_json

BACK_OFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Waits before another try where the hub does not name one; one try more than waits."""
MAX_RETRY_AFTER_SECONDS = 120.0
"""A hub that asks for more is left alone: the caller hears how long it wants."""
MAX_REDIRECTS = 5
MAX_RECORD_BYTES = 32 * 1024 * 1024
TIMEOUT_SECONDS = 30.0

RETRIED = frozenset({408, 429, 500, 502, 503, 504})

_STATUS = {
    401: "refused without a valid token; create one in your account settings there and pass token=",
    403: "forbidden; the model may need early access, or its licence accepted with your account",
    404: "not found",
    429: "too many requests; try again later",
}

_CANCEL_CHECK_SECONDS = 0.5

Result = TypeVar("Result")


class HubNotFoundError(HubError):
    """The hub knows no such thing."""


class HubCancelledError(HubError):
    """The caller's `cancelled` said so; what was received can be continued where the source allows it."""


class TryAgainError(HubError):
    """It may go better in a while; `wait` says in how many seconds, where the hub said it."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Control:
    """How a caller follows hub work and stops it, and what waits and tells the time."""

    on_progress: Callable[[int, int | None], None] | None = None
    """Called with (bytes done, bytes in all or None)."""
    cancelled: Callable[[], bool] | None = None
    """Asked between requests, between pieces of a body, and twice a second while waiting."""
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time
    """Seconds since 1970."""

    def report(self, done: int, total: int | None) -> None:
        """Tell how far it is. Raises HubCancelledError when the caller wants no more."""
        if self.on_progress is not None:
            self.on_progress(done, total)
        self.check()

    def check(self) -> None:
        """Raises HubCancelledError when the caller wants no more."""
        if self.cancelled is not None and self.cancelled():
            raise HubCancelledError("cancelled")

    def pause(self, seconds: float) -> None:
        """Wait that long. Raises HubCancelledError when the caller wants no more."""
        while seconds > 0:
            self.check()
            step = seconds if self.cancelled is None else min(seconds, _CANCEL_CHECK_SECONDS)
            self.sleep(step)
            seconds -= step
        self.check()

    def patiently(self, attempt: Callable[[], Result]) -> Result:
        """What `attempt` returns, tried anew while it raises TryAgainError, a bounded number of times."""
        for back_off in BACK_OFF_SECONDS:
            self.check()
            try:
                return attempt()
            except TryAgainError as error:
                wait = back_off if error.wait is None else error.wait
                if wait > MAX_RETRY_AFTER_SECONDS:
                    raise HubError(f"{error}: it asks to wait {wait:.0f} seconds") from None
            self.pause(wait)
        return attempt()


def missing_hubs(error: ImportError) -> MissingDependencyError:
    """The error that names the extra to install."""
    return MissingDependencyError(f"model hubs need {error.name or 'more packages'}: {install_command('hubs')}")


def checked_token(token: str | None) -> str | None:
    """`token` as given. Raises InvalidInputError, not repeating it, when no header could carry it."""
    if token is not None and not (isinstance(token, str) and re.fullmatch(r"[!-~]+", token)):
        raise InvalidInputError("token must be printable ASCII without spaces; it is not shown here")
    return token


def fetch_json(url: str, *, body: Any = None, control: Control | None = None) -> Any:
    """The JSON at `url`, or the answer to posting `body` there; no token is sent, no redirect followed.

    Raises:
        HubNotFoundError: there is no such thing.
        HubError: unreachable, refused, too large, or not JSON.
    """
    content = None if body is None else json.dumps(body).encode()
    headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
    if content is not None:
        headers["Content-Type"] = "application/json"
    control = control or Control()

    def attempt() -> bytes:
        data = bytearray()
        method = "GET" if content is None else "POST"
        with answer(url, control, method=method, headers=headers, content=content) as response:
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > MAX_RECORD_BYTES:
                    raise HubError(f"{shown(url)}: the answer is larger than {MAX_RECORD_BYTES // 1024 // 1024} MB")
                control.check()
        return bytes(data)

    try:
        return parse_json(control.patiently(attempt))
    except ValueError as error:
        raise HubError(f"{shown(url)}: the answer is {error}") from None


@contextmanager
def answer(
    url: str,
    control: Control,
    *,
    method: str = "GET",
    token: str | None = None,
    headers: dict[str, str] | None = None,
    content: bytes | None = None,
    redirects: int = 0,
    statuses: tuple[int, ...] = (200,),
) -> Iterator[Any]:
    """One answer of these statuses, its body not yet read; the token goes to the origin of `url` only.

    Raises:
        TryAgainError: the hub is busy or the connection broke, also while the body is read.
        HubError: refused, or redirected to where nothing of a hub lies.
    """
    try:
        import httpx
    except ImportError as error:
        raise missing_hubs(error) from None

    origin = url
    try:
        agent = {"User-Agent": "intelligent-generation"}
        with httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, headers=agent) as client:
            while True:
                sent = dict(headers or {})
                if token and same_origin(url, origin):
                    sent["Authorization"] = f"Bearer {token}"
                with client.stream(method, url, headers=sent, content=content) as response:
                    if response.status_code in statuses:
                        yield response
                        return
                    if not response.is_redirect or redirects == 0:
                        raise refusal(
                            shown(url), response.status_code, response.headers.get("retry-after"), control.now()
                        )
                    url = redirected(url, response.headers.get("location", ""))
                    redirects -= 1
    except httpx.TransportError as error:
        raise TryAgainError(f"{shown(url)}: {type(error).__name__}: {error}") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise HubError(f"{shown(url)}: {type(error).__name__}") from None


def refusal(where: str, status: int, retry_after: str | None, now: float) -> HubError:
    """The error for an answer of this status; one that may go better later is a TryAgainError."""
    reason = f"{where}: {_STATUS.get(status, f'answered {status}')}"
    if status in RETRIED:
        return TryAgainError(reason, retry_after_seconds(retry_after, now))
    return HubNotFoundError(reason) if status == 404 else HubError(reason)


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """`Retry-After`, in seconds or as a date, as seconds from `now`; None where it says nothing usable."""
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def same_origin(one: str, other: str) -> bool:
    """Whether two addresses have the same scheme, host and port."""
    return _origin(one) == _origin(other)


def redirected(url: str, location: str) -> str:
    """Where a redirect from `url` leads. Raises HubError where it may not lead."""
    try:
        target = urljoin(url, location)
    except ValueError:
        raise HubError(f"{shown(url)}: redirects to no address") from None
    check_address(target, url)
    return target


def check_address(target: str, base: str) -> None:
    """Refuse, with HubError, what `base` has no business to name.

    That is another scheme than https (or `base`'s own), an address of this machine or its network (unless `base`
    lies there too), and, in any case, a link-local one, where clouds keep their machines' credentials. Names are
    judged by what they resolve to.
    """
    try:
        scheme, home = urlsplit(target).scheme, urlsplit(base).scheme
        host, home_host = urlsplit(target).hostname or "", urlsplit(base).hostname or ""
        good = bool(host) and scheme in {"https", "http"} & {"https", home}
    except ValueError:
        good = False
    if good and host != home_host:
        found = _addresses(host)
        good = not any(address.is_link_local for address in found)
        good = good and (not _inside(host, found) or _inside(home_host, _addresses(home_host)))
    if not good:
        raise HubError(f"{shown(base)}: leads to {shown(target)}, which is refused")


def shown(url: str) -> str:
    """Without the query, where signed addresses and tokens stand, and without a user's name and password."""
    return re.sub(r"^([a-z+]+://)[^/@]*@", r"\1", url.partition("?")[0], flags=re.IGNORECASE)[:300]


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _addresses(host: str) -> list[Address]:
    """What `host` is or resolves to; nothing where it does not resolve here (a proxy may know it)."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    return [getattr(address, "ipv4_mapped", None) or address for address in addresses]


def _inside(host: str, addresses: list[Address]) -> bool:
    """Whether it is this machine or its own network."""
    local = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    return local or not all(address.is_global for address in addresses)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
