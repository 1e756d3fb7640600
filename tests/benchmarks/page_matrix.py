"""The page in every combination of frontend, renderer, language and theme: screenshots, axe-core, console errors.

python -m tests.benchmarks.page_matrix --out DIR [--frontend DIR/static] [--only nodes2-es-light …] --json

`--frontend`: another frontend's static folder, beside the pinned one. axe-core comes from `axe-playwright-python`
(the extra `test`). A combination whose figures lie in DIR already is not walked again. Prints one flat JSON object: for
each combination the axe findings of impact serious or critical in our views, and the console errors that concern the
pack; the sums at the end.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

from intelligence.generation.embedded import ensure_embedded

from ..browser.page import Page, browsing, tab
from ..comfyui import locate, loras
from ..comfyui.client import LIBRARY, Client
from ..comfyui.examples import AUTO, SMALL, ui_workflow
from ..comfyui.server import Server
from ..conftest import PACKS

RENDERERS, LANGUAGES, THEMES = ("canvas", "nodes2"), ("en", "es"), ("dark", "light")
OURS = [".ig-card", ".ig-library", "[data-node-type]"]
BUTTON = ".intelligent-generation-library-tab-button, button[aria-label^='Intelligent Generation:']"
FIGURES = "-figures.json"
SERIOUS = {"serious", "critical"}

SET = """
edits => {
    for (const node of window.app.graph._nodes)
        for (const [name, value] of Object.entries(edits[node.type] ?? {}))
            node.widgets.find(widget => widget.name === name).value = value
}
"""
CHANGED = "() => window.app.api.dispatchCustomEvent('graphChanged', {})"
FIT = "() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView')"
SUGGEST = "() => void window.app.extensionManager.command.execute('IntelligentGeneration.Suggest')"
UNFOLD = """
() => {
    document.querySelectorAll(".ig-card details").forEach(one => (one.open = true))
    const node = window.app.graph._nodes.find(node => node.type === "ParamOptimize")
    const button = document.querySelector(`[data-node-id="${node.id}"] [data-testid=advanced-inputs-button]`)
    if (button) button.click()
    else node.widgets.find(widget => widget.name === "advanced inputs").callback()
}
"""
AXE = """
async selectors => {
    const include = selectors.filter(selector => document.querySelector(selector)).map(selector => [selector])
    if (!include.length) return []
    const { violations } = await window.axe.run({ include }, { resultTypes: ["violations"] })
    const places = ({ id, impact, nodes }) => nodes.map(({ target }) => ({ id, impact, target: target.join(" ") }))
    return violations.flatMap(places)
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the screenshots and axe's findings")
    parser.add_argument("--frontend", type=Path, help="static folder of another frontend")
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the combinations' names")
    parser.add_argument("--json", action="store_true", help="print one flat JSON object")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    walk_all(options.frontend, options.out, options.only)
    figures: dict[str, Any] = {}
    for path in sorted(options.out.glob(f"*{FIGURES}")):
        figures |= json.loads(path.read_text())
    figures["serious"] = sum(count for name, count in figures.items() if name.endswith("_axe"))
    figures["errors"] = sum(count for name, count in figures.items() if name.endswith("_console"))
    print(json.dumps(figures) if options.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


def walk_all(newest: Path | None, out: Path, only: list[str]) -> None:
    """Write the figures of every combination that has none yet."""
    frontends = {"pinned": None, **({"newest": newest} if newest else {})}
    combinations = {"-".join(each): each for each in itertools.product(frontends, RENDERERS, LANGUAGES, THEMES)}
    wanted = [key for key in combinations if any(part in key for part in only)]
    left = [key for key in wanted if not (out / f"{key}{FIGURES}").exists()]
    if not left:
        return
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), locate.installation(locate.checkout()), PACKS, checkpoints=False)
        loras.make(server.base / "models" / "loras", loras.DEMO_LIBRARY)
        ensure_embedded(server.home / "embedded")
        with server.running(), browsing() as browser:
            server.client.post(f"{LIBRARY}/rescan")
            server.client.library_after_scan()
            for key in left:
                name, renderer, language, theme = combinations[key]
                server.client.post("/settings", {"Comfy.Locale": language, "Comfy.ColorPalette": theme})
                frontend = frontends[name]
                with tab(browser, server.url, renderer == "nodes2", width=1600, height=900, frontend=frontend) as page:
                    figures = walk(page, server.client, key, out)
                (out / f"{key}{FIGURES}").write_text(json.dumps(figures))


def walk(page: Page, client: Client, key: str, out: Path) -> dict[str, Any]:
    """Return the figures of one combination: suggest, change the prompt, run, rate, scout; the library's views."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        raise SystemExit("axe-playwright-python is not installed: pip install '.[test]'")
    page.tab.evaluate(Path(spec.origin).with_name("axe.min.js").read_text(encoding="utf-8"))
    found: list[dict[str, str]] = []

    def look(state: str) -> None:
        page.screenshot(out / f"{key}-{state}.png")
        found.extend({**one, "state": state} for one in page.tab.evaluate(AXE, OURS) if one["impact"] in SERIOUS)
        (out / f"{key}-axe.json").write_text(json.dumps(found, indent=1))

    def end(prompt_id: str) -> None:
        client.wait(prompt_id)
        page.wait_until_ended(prompt_id)

    def assign(**edits: dict[str, Any]) -> None:
        page.tab.evaluate(SET, edits)
        page.tab.evaluate(CHANGED)

    page.load(ui_workflow(AUTO))
    page.tab.evaluate(FIT)
    look("opened")
    prompt = "portrait of the mirkwood witch, (misty forest:1.2)"
    assign(ParamOptimize=SMALL, PromptAnalyze={"prompt": prompt}, LoRARecommend={"mode": "ASSISTED"})
    end(page.queued_by(lambda: page.tab.evaluate(SUGGEST)))
    look("suggested")
    assign(PromptAnalyze={"prompt": "a lighthouse, ink wash"})
    look("stale")
    assign(PromptAnalyze={"prompt": prompt}, ParamOptimize={"images": 3}, LoRARecommend={"mode": "AUTO"})
    end(page.queue())
    look("run")
    page.tab.locator(".ig-rating").first.focus()
    page.tab.keyboard.press("4")
    page.tab.locator("[aria-checked=true]").first.wait_for()
    unfold(page)
    look("unfolded")
    assign(ParamOptimize={"images": 1, "steps": 8}, IntelligentSampler={"scout": 4})
    end(page.queue())
    look("scouted")
    page.tab.locator(BUTTON).first.click()
    page.tab.locator("button.ig-tile").first.wait_for()
    look("library")
    page.tab.locator("button.ig-tile").nth(5).click()
    page.tab.locator(".ig-heading").wait_for()
    look("details")
    page.tab.locator("[data-view=sets]").click()
    look("sets")
    page.tab.locator("[data-view=history]").click()
    page.tab.locator(".ig-tile:visible").first.wait_for()
    look("history")
    return {f"{key}_axe": len(found), f"{key}_console": len(page.problems)}


def unfold(page: Page) -> None:
    """Show every line's evidence, and the advanced widgets of Param Optimize."""
    page.tab.evaluate(UNFOLD)
    page.tab.wait_for_timeout(500)


if __name__ == "__main__":
    main()
