"""Drives the real ComfyUI page in a headless Chromium."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Response, Route
    from playwright.sync_api import Page as Tab

from ..comfyui.client import Client
from ..comfyui.locate import PACK

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=LocalNetworkAccessChecks",  # else no page of `frontend` may open the server's websocket
)
DOCS = PACK / "web" / "docs"
OURS = ("intelligent-generation", "intelligent_generation", *(path.stem for path in DOCS.glob("*.md")))
"""Texts that tell our scripts, routes and nodes."""
PATIENCE = 300_000
"""Milliseconds to wait for what has to come; the page takes a minute to load on a busy machine."""

LOAD = """
async workflow => {
    await window.app.loadGraphData(workflow, true, true)
    await new Promise(done => setTimeout(done, 500))  // widgets of the DOM take their places
}
"""
NODES = """
() => window.app.graph._nodes.map(node => ({
    id: String(node.id),
    type: node.type,
    known: node.type in window.LiteGraph.registered_node_types,
    has_errors: Boolean(node.has_errors),
    widgets: Object.fromEntries((node.widgets ?? []).map(widget => [widget.name, widget.value])),
    size: [...node.size],
}))
"""
LISTEN = """
() => {
    window.ended = new Set()
    window.app.api.addEventListener("execution_success", event => window.ended.add(event.detail.prompt_id))
}
"""
PROMPT = "async () => (await window.app.graphToPrompt()).output"
FIT = """
() => {
    const nodes = window.app.graph._nodes
    const left = Math.min(...nodes.map(n => n.pos[0])), top = Math.min(...nodes.map(n => n.pos[1] - 40))
    const right = Math.max(...nodes.map(n => n.pos[0] + n.size[0]))
    const bottom = Math.max(...nodes.map(n => n.pos[1] + n.size[1]))
    const view = document.querySelector('#graph-canvas').getBoundingClientRect()
    const ds = window.app.canvas.ds
    ds.scale = Math.min((view.width - 120) / (right - left), (view.height - 140) / (bottom - top), 1)
    ds.offset[0] = 70 / ds.scale - left
    ds.offset[1] = 70 / ds.scale - top
    window.app.canvas.setDirty(true, true)
}
"""


def chromium() -> str | None:
    """Path of the browser: CHROMIUM, or the first of its usual names on PATH."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def missing() -> str | None:
    """Why no browser can be driven here, or None."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed"
    return None if chromium() else "no chromium found: set CHROMIUM to its path"


class Page:
    """The open page of one server."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self.problems: list[str] = []
        """Uncaught exceptions, and console errors that concern this pack, since the last `load`."""
        tab.on("pageerror", lambda error: self.problems.append(str(error)))
        tab.on("console", self._note_error)

    def _note_error(self, message: ConsoleMessage) -> None:
        """Keep a console error of our scripts, or about our nodes: the page has errors of its own."""
        told = f"{message.text} {message.location.get('url', '')}"
        if message.type == "error" and any(name in told for name in OURS):
            self.problems.append(message.text)

    def load(self, workflow: dict[str, Any]) -> None:
        """Load a workflow in UI format and fit it into the view."""
        self.problems.clear()  # the page's own start is not free of them
        self.tab.evaluate(LOAD, workflow)
        self.tab.evaluate(FIT)

    def nodes(self) -> list[dict[str, Any]]:
        """Every node: id, type, known (the server has it), has_errors, widgets by name, size."""
        return self.tab.evaluate(NODES)

    def red_nodes(self) -> list[str]:
        """Types of the nodes that are unknown or marked as wrong."""
        return [node["type"] for node in self.nodes() if not node["known"] or node["has_errors"]]

    def workflow(self) -> dict[str, Any]:
        """The workflow as the page would save it, in UI format."""
        return self.tab.evaluate("() => window.app.graph.serialize()")

    def prompt(self) -> dict[str, Any]:
        """The prompt that the page would queue, in API format."""
        return self.tab.evaluate(PROMPT)

    def queue(self, targets: list[str] | None = None) -> str:
        """Queue the graph from the page, or only up to some output nodes. The prompt's id."""
        return self.queued_by(
            lambda: self.tab.evaluate("targets => void window.app.queuePrompt(0, 1, targets ?? undefined)", targets)
        )

    def queued_by(self, act: Callable[[], object]) -> str:
        """Do what has the page queue a prompt. Its id."""
        with self.tab.expect_response(_is_prompt) as sent:
            act()
        answer = sent.value
        if not answer.ok:
            raise AssertionError(f"HTTP {answer.status}: {answer.text()}")
        return answer.json()["prompt_id"]

    def wait_until_ended(self, prompt_id: str) -> None:
        """Wait until the page knows that a prompt has succeeded."""
        self.tab.wait_for_function("id => window.ended.has(id)", arg=prompt_id)

    def wait_until_ready(self) -> None:
        """Wait until the page has loaded, or loaded anew."""
        self.tab.wait_for_function("() => 'KSampler' in (window.LiteGraph?.registered_node_types ?? {})")
        self.tab.wait_for_function("() => window.app?.extensionManager && window.app.graph")
        self.tab.wait_for_timeout(1500)  # the start-up's own workflow and dialogs come late
        self.tab.evaluate(LISTEN)

    def screenshot(self, path: Path, drawing_seconds: float = 1.0) -> Path:
        """Save what the window shows, after it had `drawing_seconds` to be drawn."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.tab.wait_for_timeout(1000 * drawing_seconds)
        self.tab.screenshot(path=path)
        return path


@contextmanager
def opened(url: str, nodes2: bool = False, width: int = 1800, height: int = 1100) -> Iterator[Page]:
    """The page of the server at `url` in a browser of its own; arguments as those of `tab`."""
    with browsing() as browser, tab(browser, url, nodes2, width, height) as page:
        yield page


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser, closed at the end. Playwright drives one at a time."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def tab(
    browser: Browser,
    url: str,
    nodes2: bool = False,
    width: int = 1800,
    height: int = 1100,
    frontend: Path | None = None,
) -> Iterator[Page]:
    """The page of the server at `url`, with the canvas or (nodes2) the Vue renderer of nodes.

    frontend: static folder of another frontend than the server's.
    """
    settings = {
        "Comfy.TutorialCompleted": True,
        "Comfy.InstalledVersion": "1.0.0",
        "Comfy.VueNodes.Enabled": nodes2,
        "Comfy.VueNodes.AutoScaleLayout": False,
        "Comfy.Workflow.Persist": False,
    }
    Client(url).post("/settings", settings)
    shown = browser.new_page(viewport={"width": width, "height": height})
    shown.set_default_timeout(PATIENCE)
    page = Page(shown)
    if frontend is not None:
        shown.route(f"{url}/**", lambda route: _serve(frontend, route))
    shown.goto(url, wait_until="domcontentloaded")
    page.wait_until_ready()
    yield page
    shown.close()


def _serve(frontend: Path, route: Route) -> None:
    """Answer a request from a frontend's folder where it has the file."""
    file = frontend / (unquote(urlsplit(route.request.url).path).strip("/") or "index.html")
    if file.is_file():
        route.fulfill(path=file)
    else:
        route.continue_()


def _is_prompt(answer: Response) -> bool:
    return answer.request.method == "POST" and answer.url.split("?")[0].endswith("/prompt")
