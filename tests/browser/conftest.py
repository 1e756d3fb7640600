"""The page of the test server, once for each renderer, in one browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from ..comfyui.server import Server
from .page import Page, browsing, missing, tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    if reason := missing():
        pytest.skip(reason)
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="session", params=[False, True], ids=["canvas", "nodes2"])
def page(request: pytest.FixtureRequest, browser: Browser, server: Server) -> Iterator[Page]:
    """The page, with each renderer of nodes."""
    with tab(browser, server.url, nodes2=request.param) as page:
        yield page


@pytest.fixture
def untaught(server: Server) -> None:
    """Forget what the ratings of other tests taught this server."""
    server.client.post("/intelligent_generation/learned/reset", {"all": True})
