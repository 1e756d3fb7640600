"""The page of the test server, once for each module and renderer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .page import Page, missing, opened


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes2"])
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, with each renderer of nodes."""
    if reason := missing():
        pytest.skip(reason)
    server = request.getfixturevalue("server")
    with opened(server.url, nodes2=request.param) as page:
        yield page
