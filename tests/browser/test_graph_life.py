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
