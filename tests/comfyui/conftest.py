"""Servers with the probe pack beside ours, one for each module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..conftest import running
from . import locate
from .bench import PROBE
from .server import Server

PACKS = {"intelligent-generation": locate.PACK, "probe": PROBE}


@pytest.fixture(scope="module")
def probed(installation: locate.Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the probe pack beside ours, and LoRAs."""
    yield from running(Server(tmp_path_factory.mktemp("probed"), installation, PACKS))


@pytest.fixture(scope="module")
def old_probed(old_installation: locate.Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same with the oldest supported ComfyUI."""
    yield from running(Server(tmp_path_factory.mktemp("old_probed"), old_installation, PACKS))
