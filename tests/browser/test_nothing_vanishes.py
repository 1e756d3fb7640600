"""Views of a run are there again after undo, a tab switch, a reload and a dropped picture; stars on pictures."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from ..comfyui.server import Server
from .page import Page
from .test_nodes_page import SET, load, run

pytestmark = pytest.mark.usefixtures("untaught")

seeds = itertools.count(700)
VIEW = """
() => {
    const of = type => app.graph._nodes.find(node => node.type === type)
    const stars = of("Feedback").widgets.find(widget => widget.name === "stars").element
    return {
        rated: [...stars.querySelectorAll(".ig-rating")].map(row => row.querySelectorAll('[aria-checked="true"]').length
            ? row.textContent.split("★").length - 1 : 0),
        rows: of("LoRARecommend").widgets.filter(widget => widget.name.startsWith("LoRA ")).map(widget => widget.label),
        auto: of("ParamOptimize").widgets.filter(widget => widget.label?.includes("auto →")).length,
        explained: of("Explain").widgets.find(widget => widget.name === "report").element.textContent.length
            + (of("Explain").widgets.find(widget => widget.name === "report").element.value ?? "").length > 20,
    }
}
"""
SHOWN = f"wanted => JSON.stringify(({VIEW})()) === wanted"
ROWS = ".ig-rating"
DROP = """
async ({bytes, name}) => {
    const data = new DataTransfer()
    data.items.add(new File([new Uint8Array(bytes)], name, {type: `image/${name.split(".").at(-1)}`}))
    const canvas = document.querySelector("#graph-canvas")
    for (const kind of ["dragover", "drop"])
        canvas.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}))
}
"""


LOAD_JOB = """
async () => {
    const {$pinia} = document.querySelector("#vue-app").__vue_app__.config.globalProperties
    const queue = $pinia._s.get("queue")
    await queue.update()
    await queue.historyTasks[0].loadWorkflow(app)
}
"""
"""*Open as workflow* of the newest job."""


def made(page: Page, server: Server, images: int = 1, **edits: dict[str, Any]) -> dict[str, Any]:
    """Run the example; what its Feedback node can rate, and the files."""
    load(page, **edits)
    prompt = f"portrait of the mirkwood witch, number {next(seeds)}"
    free = {"steps": 2, "images": images, "width": 128, "height": 128}
    page.tab.evaluate(SET, {"ParamOptimize": free, "PromptAnalyze": {"prompt": prompt}})
    outputs, _ = run(page, server)
    return {**outputs["Feedback"]["feedback"][0], "files": outputs["SaveGeneration"]["images"]}


def stored(server: Server, generation: dict[str, Any]) -> list[int]:
    """The stars of a generation and its images."""
    found = server.client.get(f"/intelligent_generation/generations/{generation['generation_id']}")
    return [rating["rating"] for rating in found["ratings"]]


def wait_for(page: Page, view: dict[str, Any]) -> None:
    """Wait until the nodes show exactly this."""
    page.tab.wait_for_function(SHOWN, arg=json.dumps(view, separators=(",", ":"), ensure_ascii=False), timeout=60_000)


def switch_tab_and_reload(page: Page, saved: dict[str, Any], view: dict[str, Any]) -> None:
    """Leave the workflow's tab and come back, then reload the page with it; the nodes show the same each time."""
    page.tab.evaluate("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    page.tab.wait_for_function("() => !app.graph._nodes.some(node => node.type === 'Feedback')")
    page.tab.evaluate("() => app.extensionManager.command.execute('Workspace.PreviousOpenedWorkflow')")
    wait_for(page, view)

    page.tab.reload(wait_until="domcontentloaded")
    page.wait_until_ready()
    page.load(saved)
    wait_for(page, view)


def test_keys_rate_focused_and_hovered_picture(page: Page, server: Server) -> None:
    generation = made(page, server, images=2)
    rows = page.tab.locator(ROWS)
    assert rows.count() == 2
    first = rows.first
    assert first.locator("img").evaluate("async image => { await image.decode(); return image.naturalWidth }") == 128
    first.focus()
    page.tab.keyboard.press("4")
    page.tab.wait_for_function(f"() => ({VIEW})().rated[0] === 4")
    told = page.tab.locator(".ig-told", has_text="saved").inner_text()  # what was learned, in words
    assert told.startswith("Image 1: saved — ") and "Mirkwood Witch" in told
    page.tab.evaluate("() => document.activeElement.blur()")
    rows.nth(1).dispatch_event("pointerenter")
    page.tab.keyboard.press("2")
    page.tab.wait_for_function(f"() => ({VIEW})().rated[1] === 2")
    assert stored(server, generation) == [4, 2]
    page.tab.keyboard.press("0")
    page.tab.wait_for_function(f"() => ({VIEW})().rated[1] === 0")
    assert stored(server, generation) == [4]
    rows.nth(1).dispatch_event("pointerleave")
    page.tab.keyboard.press("5")  # nothing is focused or under the mouse: not a rating
    assert stored(server, generation) == [4]
    roles = page.tab.get_by_role("radio", name="3 stars")
    assert roles.count() == 2
    roles.first.focus()
    page.tab.keyboard.press("ArrowRight")
    assert page.tab.evaluate("() => document.activeElement.getAttribute('aria-label')") == "4 stars"


def test_forgotten_picture_leaves_no_thumbnail(page: Page, server: Server) -> None:
    generation, kept = made(page, server), made(page, server)
    server.client.post("/intelligent_generation/learned/forget", {"generation_id": generation["generation_id"]})
    files = {path.stem.partition("-")[0] for path in (server.home / "thumbnails").iterdir()}
    assert generation["generation_id"] not in files and kept["generation_id"] in files


def test_views_return_after_undo_tab_switch_reload_and_drop(page: Page, server: Server) -> None:
    nodes2 = page.tab.evaluate("() => Boolean(LiteGraph.vueNodesMode)")
    generation = made(page, server, SaveGeneration={"format": "webp" if nodes2 else "png"})
    page.tab.locator(ROWS).first.focus()
    page.tab.keyboard.press("3")
    page.tab.wait_for_function(f"() => ({VIEW})().rated[0] === 3")
    view = page.tab.evaluate(VIEW)
    assert view["rows"] and view["auto"] and view["explained"]
    saved = page.workflow()

    page.tab.evaluate("() => app.extensionManager.command.execute('Comfy.Undo')")
    page.tab.evaluate("() => app.extensionManager.command.execute('Comfy.Redo')")
    wait_for(page, view)

    switch_tab_and_reload(page, saved, view)

    page.tab.evaluate("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    page.tab.evaluate(LOAD_JOB)
    page.tab.wait_for_function("() => app.graph._nodes.some(node => node.type === 'Feedback')")
    wait_for(page, view)

    page.tab.evaluate("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    picture = list(server.client.view(generation["files"][0]))
    page.tab.evaluate(DROP, {"bytes": picture, "name": generation["files"][0]["filename"]})
    page.tab.wait_for_function("() => app.graph._nodes.some(node => node.type === 'Feedback')")
    wait_for(page, view)


def test_exactly_this_again_sets_widgets_that_make_same_picture(page: Page, server: Server) -> None:
    generation = made(page, server, images=2)
    before = page.prompt()
    page.tab.evaluate(SET, {"PromptAnalyze": {"prompt": "a lake"}, "IntelligentSampler": {"seed": 3}})
    buttons = page.tab.get_by_role("button", name="Exactly this again")
    assert buttons.count() == 2
    buttons.nth(1).press("Enter")
    page.tab.get_by_text("Prompt, LoRAs, settings and seed are set.").wait_for()
    after = page.prompt()
    kinds = {node["class_type"]: key for key, node in after.items()}
    values = {kind: after[key]["inputs"] for kind, key in kinds.items()}
    assert values["PromptAnalyze"]["prompt"] == before[kinds["PromptAnalyze"]]["inputs"]["prompt"]
    assert values["IntelligentSampler"]["seed"] == before[kinds["IntelligentSampler"]]["inputs"]["seed"] + 1
    assert (values["ParamOptimize"]["images"], values["ParamOptimize"]["steps"]) == (1, 2)
    assert "mirkwood_witch" in values["LoRARecommend"]["selection"]
    page.tab.evaluate("() => app.extensionManager.command.execute('Comfy.Undo')")
    assert page.prompt()[kinds["PromptAnalyze"]]["inputs"]["prompt"] == "a lake"  # one step takes all of it back
    page.tab.evaluate("() => app.extensionManager.command.execute('Comfy.Redo')")
    outputs, _ = run(page, server)
    again = outputs["SaveGeneration"]["images"]
    assert pixels(server, again[0]) == pixels(server, generation["files"][1])


def pixels(server: Server, file: dict[str, str]) -> bytes:
    """The picture's pixels."""
    import io

    from PIL import Image

    return Image.open(io.BytesIO(server.client.view(file))).tobytes()
