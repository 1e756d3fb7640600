"""Speed of the page with a large library, in milliseconds and frames per second; medians, software rendering.

python -m tests.benchmarks.page_speed [--loras 10000] [--rounds 5] [--parts library suggest start] --json

`library_painted_ms`: from the cards' data to the first painted cards. `scroll_fps`: frames of the library while it is
scrolled through. `suggest_beyond_server_ms`: from the command *Suggest* to painted rows, without the server's own time.
`start_added_ms`: the page's start with our scripts, less that without them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..browser.page import Page, browsing, tab
from ..comfyui import locate, loras
from ..comfyui.client import LIBRARY
from ..comfyui.examples import AUTO, ui_workflow
from ..comfyui.server import Server

BUTTON = ".intelligent-generation-library-tab-button"
SCROLL_MS = 2000
OURS = "*/extensions/intelligent-generation/*"
SCAN_SECONDS = 1800

PAINTED = """
async () => {
    const read = Response.prototype.json
    let arrived = 0
    Response.prototype.json = async function () {
        const data = await read.call(this)
        if (this.url.includes("/library/cards")) arrived = performance.now()
        return data
    }
    document.querySelector("BUTTON").click()
    while (!document.querySelector(".ig-grid .ig-tile")) await new Promise(requestAnimationFrame)
    await new Promise(requestAnimationFrame)
    Response.prototype.json = read
    const took = performance.now() - arrived
    document.querySelector("BUTTON").click()
    return took
}
""".replace("BUTTON", BUTTON)

SCROLLED = """
async milliseconds => {
    const grid = document.querySelector(".ig-grid")
    grid.scrollTop = 0
    const start = performance.now()
    let frames = 0
    while (performance.now() - start < milliseconds) {
        grid.scrollTop += 60
        await new Promise(requestAnimationFrame)
        frames++
    }
    return 1000 * frames / (performance.now() - start)
}
"""

SUGGESTED = """
async () => {
    const node = window.app.graph._nodes.find(node => node.type === "LoRARecommend")
    let server = [0, 0]
    const note = place => () => (server[place] = performance.now())
    const [begin, end] = [note(0), note(1)]
    window.app.api.addEventListener("execution_start", begin)
    window.app.api.addEventListener("execution_success", end)
    const start = performance.now()
    window.app.extensionManager.command.execute("IntelligentGeneration.Suggest")
    while (!server[1] || !node.widgets.some(widget => widget.name.startsWith("LoRA "))) {
        if (performance.now() - start > 60000) return null
        await new Promise(requestAnimationFrame)
    }
    await new Promise(requestAnimationFrame)
    return performance.now() - start - (server[1] - server[0])
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loras", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="what is measured")
    parser.add_argument("--json", action="store_true", help="print one flat JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), options.loras, options.rounds, options.parts)
    print(json.dumps(figures) if options.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


def measure(base: Path, count: int, rounds: int, parts: Sequence[str]) -> dict[str, Any]:
    """Return the figures of a server with `count` LoRAs."""
    server = Server(base, locate.installation(locate.checkout()), checkpoints=False)
    loras.write_library(base / "models" / "loras", count)
    figures: dict[str, Any] = {"loras": count}
    with server.running(), browsing() as browser:
        server.client.post(f"{LIBRARY}/rescan")
        server.client.library_after_scan(SCAN_SECONDS)
        with tab(browser, server.url) as page:
            page.load(ui_workflow(AUTO))
            for part in parts:
                figures |= PARTS[part](page, server, rounds)
    scripts = sum(path.stat().st_size for path in (locate.PACK / "web" / "js").glob("*.js"))
    return {**figures, "scripts_kb": round(scripts / 1024), "rendering": "software"}


def library_figures(page: Page, server: Server, rounds: int) -> dict[str, Any]:
    painted = median(rounds, lambda: page.tab.evaluate(PAINTED))
    page.tab.locator(BUTTON).first.click()
    page.tab.locator(".ig-grid .ig-tile").first.wait_for()
    fps = median(rounds, lambda: page.tab.evaluate(SCROLLED, SCROLL_MS))
    page.tab.locator(BUTTON).first.click()
    return {"library_painted_ms": round(painted), "scroll_fps": round(fps, 1)}


def suggest_figures(page: Page, server: Server, rounds: int) -> dict[str, Any]:
    page.tab.evaluate(SUGGESTED)  # the first one reads the library
    return {"suggest_beyond_server_ms": round(median(rounds, lambda: page.tab.evaluate(SUGGESTED)))}


def start_figures(page: Page, server: Server, rounds: int) -> dict[str, Any]:
    return {"start_added_ms": round(1000 * start_seconds(page, server, rounds))}


PARTS = {"library": library_figures, "suggest": suggest_figures, "start": start_figures}


def median(rounds: int, once: Callable[[], float]) -> float:
    return statistics.median([once() for _ in range(rounds)])


def start_seconds(page: Page, server: Server, rounds: int) -> float:
    """Return the seconds that our scripts add to the page's start, with a warm cache."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    browser = page.tab.context.new_cdp_session(page.tab)
    browser.send("Network.enable")
    for number in range(2 * rounds + 2):
        blocked = bool(number % 2)
        # Blocked by the browser itself: a route of Playwright's would cost what is measured.
        browser.send("Network.setBlockedURLs", {"urls": [OURS] if blocked else []})
        page.tab.goto(server.url, wait_until="domcontentloaded")
        page.tab.wait_for_function("() => window.app?.extensionManager?.workflow?.activeWorkflow && window.app.graph")
        if number > 1:
            seconds[blocked].append(page.tab.evaluate("performance.now()") / 1000)
    return statistics.median(seconds[False]) - statistics.median(seconds[True])


if __name__ == "__main__":
    main()
