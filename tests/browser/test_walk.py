"""A person's way through the page where other tests do not go: the canvas, and the newest frontend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..comfyui import locate
from ..comfyui.examples import SMALL
from ..comfyui.server import Server
from .page import tab
from .test_nodes_page import SET, run
from .test_nothing_vanishes import VIEW, switch_tab_and_reload
from .test_suggest import STRENGTH, WITCH, assisted, click, selection, suggest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.usefixtures("untaught")


def frontend(name: str) -> Path | None:
    """The static folder of a frontend; None: the server's own."""
    if name == "pinned":
        return None
    try:
        return locate.newest_frontend()
    except locate.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize(("name", "nodes2"), [("pinned", False), ("newest", False), ("newest", True)])
def test_suggest_edit_run_rate_switch_reload(browser: Browser, server: Server, name: str, nodes2: bool) -> None:
    with tab(browser, server.url, nodes2, frontend=frontend(name)) as page:
        assisted(page, f"portrait of the mirkwood witch, {name}, {nodes2}")
        suggest(page)
        page.tab.wait_for_function(f"() => ({VIEW})().rows.some(label => label.startsWith('Mirkwood Witch'))")
        click(page, STRENGTH, 0.4)
        click(page, WITCH, False)
        click(page, WITCH, True)
        click(page, STRENGTH, 0.55)
        assert [entry["strength"] for entry in selection(page)["loras"]] == [0.55]

        page.tab.evaluate(SET, {"ParamOptimize": SMALL})
        run(page, server)
        page.tab.locator(".ig-rating").first.focus()
        page.tab.keyboard.press("4")
        page.tab.wait_for_function(f"() => ({VIEW})().rated[0] === 4")
        view = page.tab.evaluate(VIEW)
        assert view["rows"] and view["explained"] and view["rated"] == [4]
        saved = page.workflow()

        switch_tab_and_reload(page, saved, view)
        assert [entry["strength"] for entry in selection(page)["loras"]] == [0.55]
        assert page.problems == []
