"""One ComfyUI server for the whole run; tests are skipped with the reason where none can be run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .comfyui import locate, loras
from .comfyui.client import Client
from .comfyui.server import Server


@pytest.fixture(scope="session")
def installation() -> locate.Installation:
    """The ComfyUI that is tested against first."""
    try:
        return locate.installation(locate.checkout())
    except locate.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def old_installation() -> locate.Installation:
    """The oldest ComfyUI that is supported."""
    try:
        return locate.installation(locate.old_checkout())
    except locate.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def server(installation: locate.Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with this pack, the random SDXL checkpoint and the LoRAs of loras.py."""
    yield from running(Server(tmp_path_factory.mktemp("comfyui"), installation))


@pytest.fixture(scope="module")
def old_server(old_installation: locate.Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same with the oldest supported ComfyUI, for one module of tests."""
    yield from running(Server(tmp_path_factory.mktemp("comfyui_old"), old_installation))


@pytest.fixture
def client(server: Server) -> Client:
    """The API of `server`."""
    return server.client


def running(server: Server) -> Iterator[Server]:
    """Start a server over a folder with LoRAs; stop it at the end."""
    loras.make(server.base / "models" / "loras")
    server.start()
    yield server
    server.stop()
