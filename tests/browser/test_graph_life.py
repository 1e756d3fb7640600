"""Our nodes in copies, in subgraphs and through undo, in Nodes 2.0."""

from __future__ import annotations

import pytest

from ..comfyui.examples import SMALL
from ..comfyui.server import Server
from .page import Page
from .test_nodes_page import COPY, SET, run
from .test_suggest import STRENGTH, assisted, selection, suggest

pytestmark = [
    pytest.mark.usefixtures("untaught"),
    pytest.mark.parametrize("page", [True], indirect=True, ids=["nodes2"]),
]

CHOICES = """
() => app.graph._nodes.filter(node => node.type === "LoRARecommend").map(node => {
    const of = name => node.widgets.find(widget => widget.name === name)
    return [of("selection").value, of("LoRA Mirkwood Witch")?.value ?? of("LoRA mirkwood_witch")?.value ?? null]
})
"""
MOVE_COPY = """
([name, strength]) => {
    const copy = app.graph._nodes.filter(node => node.type === "LoRARecommend").at(-1)
    const widget = copy.widgets.find(widget => widget.name.startsWith("Strength of"))
    widget.callback(strength, app.canvas, copy)
}
"""
GROUPED = ["PromptAnalyze", "LoRARecommend", "ParamOptimize"]
CONVERT = """
types => {
    const nodes = app.graph._nodes.filter(node => types.includes(node.type))
    app.canvas.selectItems(nodes)
    return app.extensionManager.command.execute("Comfy.Graph.ConvertToSubgraph")
}
"""
INSIDE = """
() => {
    const holder = app.graph._nodes.find(node => node.subgraph)
    if (!holder) return null
    const inner = holder.subgraph.nodes.find(node => node.type === "LoRARecommend")
    return inner.widgets.filter(widget => widget.name.startsWith("LoRA ")).map(widget => widget.name)
}
"""
PANEL = "button[aria-label*='roperties']"
SELECT_HOLDER = """
() => {
    app.canvas.deselectAll()
    app.canvas.selectItems([app.graph._nodes.find(node => node.subgraph)])
}
"""
PROMOTED = """
name => app.graph._nodes.find(node => node.subgraph)?.widgets.find(widget => widget.name === name)?.value ?? null
"""
UNPROMOTED = """
() => {
    const holder = app.graph._nodes.find(node => node.subgraph)
    const shown = new Set(holder.widgets.map(widget => widget.name))
    return holder.subgraph.nodes.flatMap(node => node.widgets ?? [])
        .filter(widget => widget.serialize !== false && widget.name !== "control_after_generate")
        .map(widget => widget.name).filter(name => !shown.has(name))
}
"""
SET_PROMOTED = """
([name, value]) => {
    const holder = app.graph._nodes.find(node => node.subgraph)
    const widget = holder.widgets.find(widget => widget.name === name)
    widget.value = value
    widget.callback?.(value, app.canvas, holder)
    app.api.dispatchCustomEvent("graphChanged", {})
}
"""
INNER = """
([type, name, value]) => {
    const node = app.graph._nodes.find(node => node.subgraph).subgraph.nodes.find(node => node.type === type)
    const widget = node.widgets.find(widget => widget.name === name)
    if (value !== null) widget.callback(value, app.canvas, node)
    return node.widgets.filter(widget => !widget.element).map(widget => widget.label ?? widget.name)
}
"""
UNDO = "() => app.extensionManager.command.execute('Comfy.Undo')"


def test_copy_of_recommend_has_the_choice_as_its_own(page: Page) -> None:
    assisted(page)
    suggest(page)
    page.tab.evaluate(COPY, "LoRARecommend")
    page.tab.wait_for_function(f"() => ({CHOICES})().length === 2")
    original, copy = page.tab.evaluate(CHOICES)
    assert copy == original
    page.tab.evaluate(MOVE_COPY, [STRENGTH, 0.35])
    changed = page.tab.evaluate(CHOICES)
    assert changed[0] == original and '"strength":0.35' in changed[1][0]


def test_nodes_in_a_subgraph_suggest_and_run_and_undo_brings_them_back(page: Page, server: Server) -> None:
    assisted(page, "portrait of the mirkwood witch in a subgraph", ParamOptimize=SMALL)
    page.tab.evaluate("() => app.api.dispatchCustomEvent('graphChanged', {})")
    page.tab.evaluate(CONVERT, GROUPED)
    page.tab.wait_for_function(f"() => ({INSIDE})() !== null")
    suggest(page)
    assert "LoRA Mirkwood Witch" in page.tab.evaluate(INSIDE)
    outputs, _ = run(page, server)
    (applied,) = outputs["LoRARecommend"]["suggestions"]
    assert applied["lora"] == "characters/mirkwood_witch.safetensors"
    for _ in range(10):
        if page.tab.evaluate(INSIDE) is not None:
            page.tab.evaluate(UNDO)
    assert {*GROUPED} <= {node["type"] for node in page.nodes()}
    page.tab.evaluate(SET, {"PromptAnalyze": {"prompt": "the mirkwood witch"}, "LoRARecommend": {"mode": "ASSISTED"}})
    suggest(page)
    assert "mirkwood_witch" in selection(page)["loras"][0]["lora"]
    assert page.problems == []


def test_every_widget_can_be_promoted_and_holds_the_choice(page: Page, server: Server) -> None:
    assisted(page, "portrait of the mirkwood witch, promoted", ParamOptimize=SMALL)
    page.tab.evaluate(CONVERT, [*GROUPED, "IntelligentSampler"])
    page.tab.wait_for_function(f"() => ({INSIDE})() !== null")
    if not page.tab.get_by_text("Workflow Overview").count():
        page.tab.locator(PANEL).first.click()
    page.tab.evaluate(SELECT_HOLDER)
    page.tab.get_by_label("Edit subgraph").first.click()
    page.tab.get_by_text("Show all", exact=True).first.click()
    page.tab.wait_for_function(f"() => ({UNPROMOTED})().length === 0")
    page.tab.locator(PANEL).first.click()

    suggest(page)
    page.tab.wait_for_function(f"() => ({PROMOTED})('selection')?.includes('mirkwood_witch')")
    page.tab.evaluate(INNER, ["LoRARecommend", STRENGTH, 0.4])
    (applied,) = run(page, server)[0]["LoRARecommend"]["suggestions"]
    assert (applied["lora"], applied["strength"]) == ("characters/mirkwood_witch.safetensors", 0.4)

    chosen_for = page.tab.evaluate(PROMOTED, "prompt")
    page.tab.evaluate(SET_PROMOTED, ["prompt", "a lighthouse"])
    labels = page.tab.evaluate(INNER, ["LoRARecommend", "Keep", None])
    assert any("Chosen for: " + chosen_for[:12] in label for label in labels)
    page.tab.get_by_role("button", name="Exactly this again").press("Enter")
    page.tab.wait_for_function(f"wanted => ({PROMOTED})('prompt') === wanted", arg=chosen_for)
    assert page.problems == []
