"""Servers of this tier beyond `server` (see tests/conftest.py): the oldest ComfyUI, the real checkpoint, a fresh one.

Write a test against `server` or `client`: the newest ComfyUI with the embedded demo model and LoRAs that fit it. It is
shared by the whole run, so a test uses prompts and seeds of its own, and puts back what it changes in the folders.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..conftest import PACKS, running
from . import locate, loras
from .client import Client
from .server import Server


@pytest.fixture(scope="session")
def old_server(old_installation: locate.Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same as `server` with the oldest supported ComfyUI; it offers the random checkpoint too."""
    yield from running(Server(tmp_path_factory.mktemp("comfyui_old"), old_installation, PACKS))


@pytest.fixture(scope="module")
def checkpoint_server(installation: locate.Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the random checkpoint, its full-size text encoders and LoRAs that fit: loading takes a while."""
    server = Server(tmp_path_factory.mktemp("checkpoint"), installation, PACKS)
    loras.make(server.base / "models" / "loras")
    with server.running():
        yield server


@pytest.fixture(scope="module")
def fresh_server(installation: locate.Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has not run yet, with our pack alone, no checkpoint and no LoRA; stopped at the end."""
    server = Server(tmp_path_factory.mktemp("fresh"), installation, checkpoints=False)
    yield server
    server.stop()


@pytest.fixture
def old_client(old_server: Server) -> Client:
    """The API of `old_server`."""
    return old_server.client
