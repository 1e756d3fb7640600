"""Addresses that a hub may lead to."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urljoin, urlsplit

from ..errors import HubError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_DEFAULT_PORTS = {"http": 80, "https": 443}


def same_origin(one: str, other: str) -> bool:
    """Return whether two addresses have the same scheme, host and port."""
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
    return [getattr(address, "ipv4_mapped", None) or address for address in addresses]


def _is_local(host: str, addresses: list[Address]) -> bool:
    named = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    return named or not all(address.is_global for address in addresses)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
