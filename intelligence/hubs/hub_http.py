"""HTTP requests to model hubs: tokens stay with their origin, redirects are checked, answers are bounded."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from ..config import CONFIG_FILE, Hub, data_folder, user_settings
from ..errors import HubError, InvalidInputError, MissingDependencyError, install_command
from ..models.sanitize import parse_json
from .hub_work import Control, HubNotFoundError, TryAgainError, UnreachableError

MAX_REDIRECTS = 5
MAX_JSON_BYTES = 32 * 1024 * 1024
TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 10.0

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

_STATUS_REASONS = {
    401: "refused without a valid token; create one in your account settings there and pass token=",
    403: "forbidden; the model may need early access, or its licence accepted with your account",
    404: "not found",
    429: "too many requests; try again later",
}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_DEFAULT_PORTS = {"http": 80, "https": 443}


def missing_hubs(error: ImportError) -> MissingDependencyError:
    return MissingDependencyError(f"model hubs need {error.name or 'more packages'}: {install_command('hubs')}")


def not_asked(hub: Hub, offline: bool = False) -> str:
    """Return why a hub is not asked; empty where it may be. Raises InvalidInputError for a mistake in the settings."""
    if offline:
        return "offline is set"
    if hub in user_settings().hubs:
        return ""
    return f"it is switched off in the settings (`hubs` in {data_folder() / CONFIG_FILE})"


def checked_token(token: str | None) -> str | None:
    """Return `token`. Raises InvalidInputError, which does not repeat it, when no header could carry it."""
    if token is not None and not (isinstance(token, str) and re.fullmatch(r"[!-~]+", token)):
        raise InvalidInputError("token must be printable ASCII without spaces; it is not shown here")
    return token


def fetch_json(url: str, control: Control, *, body: Any = None) -> Any:
    """Return the JSON at `url`, or the answer to posting `body` there; no token is sent, no redirect followed.

    Raises:
        HubNotFoundError: there is no such thing.
        HubError: unreachable, refused, too large, or not JSON.
    """
    headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
    content = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        content = json.dumps(body).encode()

    def attempt() -> bytes:
        data = bytearray()
        with open_response(url, control, headers, content=content) as response:
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
def open_response(
    url: str,
    control: Control,
    headers: dict[str, str],
    *,
    content: bytes | None = None,
    token: str | None = None,
    redirects: int = 0,
    statuses: tuple[int, ...] = (200,),
) -> Iterator[Any]:
    """Open an `httpx2.Response` of one of these statuses, its body not yet read.

    Args:
        content: posted; None: the address is only read.
        token: bearer token, sent to the origin of `url` only.
        redirects: number of redirects that are followed.

    Raises:
        TryAgainError: the hub is busy or the connection broke, also while the body is read.
        HubError: refused, or redirected to an address that no hub has.
    """
    try:
        import httpx2
    except ImportError as error:
        raise missing_hubs(error) from None

    first_url = url
    try:
        agent = {"User-Agent": "intelligent-generation"}
        timeout = httpx2.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS)
        with httpx2.Client(timeout=timeout, follow_redirects=False, headers=agent) as client:
            while True:
                authorization = {"Authorization": f"Bearer {token}"} if token and same_origin(url, first_url) else {}
                method = "GET" if content is None else "POST"
                with client.stream(method, url, headers=headers | authorization, content=content) as response:
                    if response.status_code in statuses:
                        yield response
                        return
                    if not response.is_redirect or redirects == 0:
                        retry_after = response.headers.get("retry-after")
                        raise status_error(without_secrets(url), response.status_code, retry_after, control.now())
                    url = redirect_target(url, response.headers.get("location", ""))
                    redirects -= 1
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise UnreachableError(without_secrets(url), error) from None
    except httpx2.TransportError as error:
        raise TryAgainError(f"{without_secrets(url)}: {type(error).__name__}: {error}") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
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


def same_origin(one: str, other: str) -> bool:
    return _origin(one) == _origin(other)


def redirect_target(url: str, location: str) -> str:
    """Return the address that a redirect from `url` leads to. Raises HubError where it may not lead there."""
    try:
        target = urljoin(url, location)
    except ValueError:
        raise HubError(f"{without_secrets(url)}: redirects to no address") from None
    check_address(target, url)
    return target


def check_address(target: str, base: str) -> None:
    """Raise HubError where `base` may not lead to `target`.

    Refused are another scheme than https (or `base`'s own); an address of this machine or its network, unless `base`
    lies there too; and any link-local one, where clouds keep their machines' credentials. Names are resolved first.
    """
    try:
        scheme, base_scheme = urlsplit(target).scheme, urlsplit(base).scheme
        host, base_host = urlsplit(target).hostname or "", urlsplit(base).hostname or ""
        allowed = bool(host) and scheme in {"https", "http"} & {"https", base_scheme}
    except ValueError:
        allowed = False
    if allowed and host != base_host:
        found = _resolve(host)
        allowed = not any(address.is_link_local for address in found)
        allowed = allowed and (not _is_local(host, found) or _is_local(base_host, _resolve(base_host)))
    if not allowed:
        raise HubError(f"{without_secrets(base)}: leads to {without_secrets(target)}, which is refused")


def without_secrets(url: str) -> str:
    """Return `url` without its query (signatures and tokens stand there) and without user name and password."""
    return re.sub(r"^([a-z+]+://)[^/@]*@", r"\1", url.partition("?")[0], flags=re.IGNORECASE)[:300]


def _resolve(host: str) -> list[Address]:
    """Return nothing where `host` does not resolve here; a proxy may know it."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    return [embedded_ipv4(address) or address for address in addresses]


NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""Prefixes whose addresses end in an IPv4 address [RFC 6052, RFC 8215]."""


def embedded_ipv4(address: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to: mapped, compatible, NAT64, 6to4 or Teredo; None: none."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    teredo = address.teredo
    if found := address.ipv4_mapped or address.sixtofour or (teredo and teredo[1]):
        return found
    low = int(address) & 0xFFFFFFFF
    compatible = int(address) >> 32 == 0 and low > 1
    return ipaddress.IPv4Address(low) if compatible or any(address in prefix for prefix in NAT64) else None


def _is_local(host: str, addresses: list[Address]) -> bool:
    named = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    return named or not all(address.is_global for address in addresses)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
