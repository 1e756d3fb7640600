"""The short face of the nodes, with each renderer: advanced widgets are folded, numbers that mean a word show it."""

from __future__ import annotations

import json

from ..comfyui.examples import AUTO, SMALL, ui_workflow
from ..comfyui.locate import PACK
from ..comfyui.server import Server
from .page import Page
from .test_nodes_page import load, node_of, run

SHORT = ["priority", "images", "aspect"]
"""Widgets of Param Optimize at first."""

VISIBLE = """
type => {
    const node = window.app.graph._nodes.find(node => node.type === type)
    const shown = document.querySelector(`[data-node-id="${node.id}"]`)
    const labels = shown?.querySelectorAll("[data-testid=widget-layout-field-label]")
    if (labels) return [...labels].map(one => one.textContent.trim())
    return node.widgets.filter(widget => node.isWidgetVisible(widget) && !widget.element && widget.type !== "button")
        .map(widget => widget.name)
}
"""
UNFOLD = """
type => {
    const node = window.app.graph._nodes.find(node => node.type === type)
    const button = document.querySelector(`[data-node-id="${node.id}"] [data-testid=advanced-inputs-button]`)
    if (button) button.click()
    else node.widgets.find(widget => widget.name === "advanced inputs").callback()
}
"""
COVERED = """
type => {
    const box = node => {
        const shown = document.querySelector(`[data-node-id="${node.id}"]`)?.getBoundingClientRect()
        if (shown) return [shown.left, shown.top, shown.right, shown.bottom]
        const [left, top, width, height] = node.boundingRect ?? node.getBounding()
        return [left, top, left + width, top + height]
    }
    const [left, top, right, bottom] = box(app.graph._nodes.find(node => node.type === type))
    return app.graph._nodes.filter(node => node.type !== type).filter(node => {
        const other = box(node)
        return other[0] < right && left < other[2] && other[1] < bottom && top < other[3]
    }).map(node => node.type)
}
"""
RATED_BLUEPRINT = """
({prompt, small}) => {
    const [node] = app.graph._nodes
    node.widgets.find(widget => widget.name === "prompt").value = prompt
    const inner = node.subgraph.nodes.find(node => node.type === "ParamOptimize")
    for (const [name, value] of Object.entries(small)) inner.widgets.find(widget => widget.name === name).value = value
    const feedback = LiteGraph.createNode("Feedback")
    app.graph.add(feedback)
    feedback.pos = [600, 60]
    for (const [slot, name] of [[1, "generation"], [0, "images"]])
        node.connect(slot, feedback, feedback.inputs.findIndex(input => input.name === name))
}
"""
INNER_LABELS = """
type => app.graph._nodes[0].subgraph.nodes.find(node => node.type === type).widgets
    .map(widget => widget.label ?? widget.name)
"""
OUTER = """
prompt => {
    const widget = app.graph._nodes[0].widgets.find(widget => widget.name === "prompt")
    if (prompt !== null) widget.value = prompt
    return widget.value
}
"""
INJECT = "window.injected = true"
HOSTILE_NAMES = [
    f"<img src=x onerror='{INJECT}'>",
    f"<script>{INJECT}</script>",
    f"<svg onload='{INJECT}'>",
    f"<a href='javascript:{INJECT}'>name</a>",
    f'" onmouseover="{INJECT}" x="',
    f"'><img src=x onerror={INJECT.replace(' ', '')}>",
    f"</style><script>{INJECT}</script>",
    f"${{{INJECT}}}",
    f"{{{{{INJECT}}}}}",
    f"]]><img src=x onerror='{INJECT}'>",
    "<!--",
    "&lt;b&gt;&#0;&nbsp;",
    "<b>bold</b><br><hr>",
    "__proto__",
    "constructor",
    "x" * 300,
    "wide " * 60,
    "\u202e\u202egnihtyna",
    "Z\u0351\u036b\u0343" * 30,
    "👩‍👩‍👧‍👦" * 40,
    "a\nb\tc\r\n",
    " ",
]
HOSTILE = """
names => {
    const why = [{setting: "lora", text: names[1], key: "", arguments: {}}]
    const loras = names.map(name => ({name, strength: 0.8, confidence: 0.5, named: false, why}))
    const card = {loras, prompt: names.map(name => [name, true]), negative: [[names[1], false]], why, left_out: loras}
    const suggestions = names.map((title, number) => ({
        lora: `${number}.safetensors`, name: title, title, strength: 0.8, confidence: 0.5, trigger_words: [title],
        trigger_sets: [], reasoning: title, named: false,
    }))
    const output = {text: names, card: [card], suggestions, nearest: [], confirmed: [false]}
    for (const node of app.graph._nodes.filter(node => ["LoRARecommend", "Explain"].includes(node.type)))
        node.onExecuted(output)
    document.querySelectorAll(".ig-card details").forEach(one => (one.open = true))
}
"""
SHOWN_NAMES = """
() => {
    const {widgets} = app.graph._nodes.find(node => node.type === "Explain")
    const {element} = widgets.find(widget => widget.name === "report")
    return [...element.querySelectorAll(".ig-chip")].map(chip => chip.firstChild.textContent)
}
"""
ZOOM = "scale => { app.canvas.ds.changeScale(scale, [800, 500]); app.canvas.setDirty(true, true) }"
HEAR = """
() => {
    window.told = []
    app.api.addEventListener("progress_text", ({detail}) => window.told.push([String(detail.nodeId), detail.text]))
}
"""
SELECT = """
type => {
    app.canvas.deselectAll()
    app.canvas.selectItems([app.graph._nodes.find(node => node.type === type)])
}
"""
TOO_WIDE = """
() => app.graph._nodes.flatMap(node => (node.widgets ?? []).filter(widget => widget.element?.dataset.nodeType)
    .filter(({element, width}) => element.scrollWidth > element.clientWidth + 1
        || element.clientWidth > node.size[0] || (width ?? node.size[0]) !== node.size[0])
    .map(widget => [node.type, widget.name, widget.element.scrollWidth, widget.element.clientWidth, widget.width]))
"""
SHOWN = """
([type, name]) => {
    const node = window.app.graph._nodes.find(node => node.type === type)
    const input = document.querySelector(`[data-node-id="${node.id}"] [aria-label="${name}"] input`)
    if (input) return JSON.parse(getComputedStyle(input.parentElement, "::after").content)
    return node.widgets.find(widget => widget.name === name)._displayValue
}
"""


def test_advanced_widgets_unfold_and_automatic_is_shown_as_auto(page: Page) -> None:
    page.load(ui_workflow(AUTO))
    before = page.prompt()
    assert page.tab.evaluate(VISIBLE, "ParamOptimize") == SHORT
    page.tab.evaluate(UNFOLD, "ParamOptimize")
    page.tab.wait_for_timeout(500)
    assert len(page.tab.evaluate(VISIBLE, "ParamOptimize")) == 13
    for name in ("steps", "cfg", "width", "height", "max_vram_gb"):
        assert page.tab.evaluate(SHOWN, ["ParamOptimize", name]) == "auto"
    assert page.tab.evaluate(SHOWN, ["ParamOptimize", "max_time_seconds"]) == "no limit"
    assert page.prompt() == before
    assert page.tab.evaluate(COVERED, "ParamOptimize") == []
    page.tab.evaluate(UNFOLD, "ParamOptimize")
    page.tab.wait_for_timeout(500)
    assert page.tab.evaluate(VISIBLE, "ParamOptimize") == SHORT


def test_missing_checkpoint_makes_no_red_frame(page: Page) -> None:
    workflow = ui_workflow(AUTO)
    (loader,) = [node for node in workflow["nodes"] if node["type"] == "CheckpointOrFirst"]
    loader["widgets_values"] = ["sd_xl_base_1.0.safetensors"]
    page.load(workflow)
    page.tab.wait_for_timeout(1000)
    assert page.red_nodes() == []
    assert page.tab.get_by_text("missing", exact=False).count() == 0
    (kept,) = [node for node in page.nodes() if node["type"] == "CheckpointOrFirst"]
    assert kept["widgets"]["ckpt_name"] == "sd_xl_base_1.0.safetensors"


def test_blueprint_is_suggested_for_run_rated_and_restored(page: Page, server: Server) -> None:
    blueprint = json.loads((PACK / "subgraphs" / "Prompt to picture.json").read_text(encoding="utf-8"))
    offered = server.client.get("/global_subgraphs").values()
    assert "Prompt to picture" in {each["name"] for each in offered}
    page.load(blueprint)
    assert page.red_nodes() == []
    (node,) = page.nodes()
    assert [*node["widgets"]] == ["prompt", "negative_prompt", "ckpt_name", "aspect", "images", "seed"]
    prompt = "portrait of the mirkwood witch in a mirror"
    page.tab.evaluate(RATED_BLUEPRINT, {"prompt": prompt, "small": SMALL})
    page.tab.locator("#graph-canvas").focus()
    before = page.tab.evaluate("() => window.ended.size")
    page.tab.keyboard.press("Control+Shift+G")
    page.tab.wait_for_function("before => window.ended.size > before", arg=before)
    labels = page.tab.evaluate(INNER_LABELS, "LoRARecommend")
    assert any(label.startswith("Mirkwood Witch") for label in labels)
    assert page.tab.evaluate(INNER_LABELS, "CheckpointOrFirst") == ["ckpt_name", "Checkpoint that is used"]
    assert not any("Chosen for" in label for label in labels)

    run(page, server)
    page.tab.locator(".ig-rating").first.focus()
    page.tab.keyboard.press("5")
    page.tab.locator(".ig-told", has_text="saved").wait_for()
    page.tab.evaluate(OUTER, "a lake")
    page.tab.get_by_role("button", name="Exactly this again").press("Enter")
    page.tab.get_by_text("Prompt, LoRAs, settings and seed are set.").last.wait_for()
    assert page.tab.evaluate(OUTER, None) == prompt
    assert page.problems == []


def test_hostile_names_fit_at_every_zoom_and_beside_the_panel(page: Page) -> None:
    page.load(ui_workflow(AUTO))
    sizes = [node["size"] for node in page.nodes()]
    page.tab.evaluate(HOSTILE, HOSTILE_NAMES)
    page.tab.wait_for_timeout(300)
    shown = page.tab.evaluate(SHOWN_NAMES)
    assert [name for name in HOSTILE_NAMES if name not in shown] == []
    assert page.tab.locator("img[src=x]").count() == 0 and page.tab.evaluate("window.injected") is None
    for scale in (0.5, 1, 2):
        page.tab.evaluate(ZOOM, scale)
        page.tab.wait_for_timeout(300)
        assert page.tab.evaluate(TOO_WIDE) == []
    if not page.tab.get_by_text("Workflow Overview").count():
        page.tab.locator("button[aria-label*='roperties']").first.click()
        page.tab.get_by_text("Workflow Overview").first.wait_for()
    for kind in ("LoRARecommend", "Explain"):
        page.tab.evaluate(SELECT, kind)
        page.tab.wait_for_timeout(300)
        assert page.tab.evaluate(TOO_WIDE) == []
    page.tab.locator("button[aria-label*='roperties']").first.click()
    now = [node["size"] for node in page.nodes()]
    assert [size[0] for size in now] == [size[0] for size in sizes]
    assert page.problems == []


def test_app_template_opens_as_app(page: Page) -> None:
    page.load(ui_workflow(f"{AUTO} (app)"))
    page.tab.wait_for_timeout(1000)
    assert page.red_nodes() == []
    prompt = ui_workflow(AUTO)["nodes"][0]["widgets_values"][0]
    shown = page.tab.locator("textarea:visible")
    assert prompt in [area.input_value() for area in shown.all()]
    page.load(ui_workflow(AUTO))


def test_progress_tells_step_and_time_left(page: Page) -> None:
    text = """async state => {
        const { progressText } = await import("/extensions/intelligent-generation/js/sampling_progress.js")
        return progressText(state)
    }"""
    first = {"value": 1, "at": 0}
    told = [page.tab.evaluate(text, {"value": value, "max": 24, "first": first, "now": 6000}) for value in (2, 7, 24)]
    assert told == ["step 2 of 24", "step 7 of 24, about 17 s left", "step 24 of 24"]


def test_sampler_tells_its_steps_and_guidance_while_it_runs(page: Page, server: Server) -> None:
    load(page, ParamOptimize=SMALL | {"steps": 6})
    page.tab.evaluate(HEAR)
    run(page, server)
    sampler = node_of(page, "IntelligentSampler")
    told = [text for node, text in page.tab.evaluate("window.told") if node == sampler]
    assert told[-1].startswith("step 6 of 6 · guidance")  # of steps that end at once ComfyUI tells a few alone
    assert all(text.startswith("step ") and "guidance" in text for text in told)
