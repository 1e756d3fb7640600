"""The pack's nodes in the page, with each renderer: the examples load clean, reports are text, stars rate."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from ..comfyui.examples import AUTO, SMALL, SUGGESTIONS, ui_workflow
from ..comfyui.server import Server
from ..comfyui.workflow import to_prompt
from .page import Page

SET = """
edits => {
    for (const node of window.app.graph._nodes)
        for (const [name, value] of Object.entries(edits[node.type] ?? {}))
            node.widgets.find(widget => widget.name === name).value = value
}
"""
REPORTS = """
type => window.app.graph._nodes.filter(node => node.type === type)
    .map(node => node.widgets.find(widget => widget.name === "report").element.textContent)
"""
ADDED = """
() => [...window.app.graph._nodes.find(node => node.type === "Explain").widgets.find(widget => widget.name === "report")
    .element.querySelectorAll(".ig-added")].map(mark => mark.textContent.replace(/^, /, ""))
"""
HEADINGS = """
type => [...window.app.graph._nodes.find(node => node.type === type).widgets.find(widget => widget.name === "report")
    .element.querySelectorAll("summary > .ig-label, .ig-plain > .ig-label")]
    .map(label => label.textContent).filter(text => text !== "Seed")
"""
UNFOLD_ALL = """
type => window.app.graph._nodes.find(node => node.type === type).widgets.find(widget => widget.name === "report")
    .element.querySelectorAll("details").forEach(line => (line.open = true))
"""
OPEN_LINES = """
type => [...window.app.graph._nodes.find(node => node.type === type).widgets.find(widget => widget.name === "report")
    .element.querySelectorAll("details[open]")].map(line => line.dataset.line)
"""
PARTS = {
    "LoRARecommend": ["LoRAs", "Prompt"],
    "ParamOptimize": ["Settings"],
    "MemoryPlan": ["Memory"],
    "Explain": ["LoRAs", "Settings", "Prompt", "Time", "Memory"],
}
"""Node → headings of its own report, and of no other's."""
COPY = """
type => {
    const canvas = window.app.canvas
    canvas.selectItems([window.app.graph._nodes.find(node => node.type === type)])
    canvas.copyToClipboard()
    canvas.pasteFromClipboard({connectInputs: true})
}
"""
STARS = """
() => window.app.graph._nodes.find(node => node.type === "Feedback")
    .widgets.find(widget => widget.name === "stars").element.textContent
"""
WIDGET_TEXT = """
([type, name]) => window.app.graph._nodes.find(node => node.type === type)
    .widgets.find(widget => widget.name === name).element.textContent
"""
PROGRESS = """
() => window.app.graph._nodes.flatMap(node => node.widgets ?? []).map(widget => widget.name)
    .filter(name => name.includes("text-preview"))
"""
MARKUP = '<img src=x onerror="window.injected = true">'
TITLE = 30
"""Height of a node's title, which stands above its position."""


def load(page: Page, **edits: dict[str, Any]) -> None:
    """Open the example with all eight nodes at 128² and 2 steps; `edits`: node type → widget → value."""
    page.load(ui_workflow(AUTO))
    seed = {"seed": 11, "control_after_generate": "fixed"}
    text = {"prompt": "portrait of the mirkwood witch, (misty forest:1.2)"}
    page.tab.evaluate(SET, {"ParamOptimize": SMALL, "PromptAnalyze": text, "IntelligentSampler": seed} | edits)


def node_of(page: Page, kind: str) -> str:
    """Id of the one node of a type."""
    (found,) = [node["id"] for node in page.nodes() if node["type"] == kind]
    return found


def run(page: Page, server: Server, targets: list[str] | None = None) -> tuple[dict[str, Any], set[str]]:
    """Queue from the page until it knows of the end: node type → ui output, and the types that ran."""
    prompt_id = page.queue(targets)
    entry = server.client.wait(prompt_id)
    assert entry["status"]["status_str"] == "success"
    page.wait_until_ended(prompt_id)
    kinds = {key: node["class_type"] for key, node in entry["prompt"][2].items()}
    (cached,) = [set(data["nodes"]) for event, data in entry["status"]["messages"] if event == "execution_cached"]
    return {kinds[key]: output for key, output in entry["outputs"].items()}, {
        kinds[key] for key in kinds.keys() - cached
    }


@pytest.mark.parametrize("name", [AUTO, SUGGESTIONS])
def test_example_loads_clean(page: Page, server: Server, name: str) -> None:
    workflow = ui_workflow(name)
    page.load(workflow)
    assert page.red_nodes() == []
    assert page.problems == []
    assert page.prompt() == to_prompt(workflow, server.client.object_info())
    for saved, shown in zip(workflow["nodes"], page.workflow()["nodes"], strict=True):
        assert (shown.get("widgets_values") or []) == saved["widgets_values"]  # views are not among them
        if not saved["flags"].get("collapsed"):  # of which Nodes 2.0 saves what it shows
            assert shown["size"] == saved["size"]  # the page had not to enlarge it


@pytest.mark.parametrize("name", [AUTO, SUGGESTIONS])
def test_example_nodes_do_not_overlap(name: str) -> None:
    boxes = [
        (node["type"], x, y - TITLE, x + width, y + height)
        for node in ui_workflow(name)["nodes"]
        for (x, y), (width, height) in [(node["pos"], node["size"])]
    ]
    for (one, *a), (other, *b) in itertools.combinations(boxes, 2):
        assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1], (one, other)


def test_run_shows_reports(page: Page, server: Server) -> None:
    load(page)
    before = page.prompt()
    _, ran = run(page, server)
    plan = {"MemoryPlan"} & ran  # no output node: it reports where it runs, not where it is cached
    for kind in PARTS.keys() - {"MemoryPlan"} | plan:
        assert page.tab.evaluate(HEADINGS, kind) == PARTS[kind]
    (explained,) = page.tab.evaluate(REPORTS, "Explain")
    assert explained.startswith("LoRAsMirkwood Witch")  # by its title, as in LoRA Recommend
    assert "2 steps · CFG" in explained
    assert page.tab.evaluate(ADDED) == ["green cloak, antler crown"]
    assert page.tab.evaluate(WIDGET_TEXT, ["CheckpointOrFirst", "taken"]).startswith("no checkpoint on this machine")
    assert page.tab.evaluate(PROGRESS) == []
    assert page.prompt() == before
    assert page.problems == []

    page.tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.tab.get_by_role("button", name="Copy", exact=True).last.press("Enter")
    page.tab.get_by_role("button", name="Copied", exact=True).wait_for()
    copied = page.tab.evaluate("navigator.clipboard.readText()")
    assert copied == "portrait of the mirkwood witch, (misty forest:1.2), green cloak, antler crown"

    page.tab.evaluate(UNFOLD_ALL, "Explain")
    page.tab.evaluate(SET, {"IntelligentSampler": {"seed": 12}})
    run(page, server)
    # Time unfolds only where there is more to say than was foretold.
    assert {"loras", "settings", "prompt", "memory"} <= set(page.tab.evaluate(OPEN_LINES, "Explain"))
    page.load(ui_workflow(AUTO))  # the template, opened again, is a graph of its own
    page.tab.wait_for_timeout(1000)
    assert page.tab.evaluate(REPORTS, "Explain") == ["shown after a run"]


def test_suggestions_example_runs_as_saved(page: Page, server: Server) -> None:
    page.load(ui_workflow(SUGGESTIONS))
    outputs, _ = run(page, server)
    assert page.tab.evaluate(REPORTS, "LoRARecommend")[0].startswith("LoRAs")
    assert len(outputs["SaveImage"]["images"]) == 1
    assert page.problems == []


def test_reports_of_copies_are_their_own(page: Page, server: Server) -> None:
    load(page)
    page.tab.evaluate(COPY, "Explain")
    assert page.tab.evaluate(REPORTS, "Explain")[1] == "shown after a run"
    run(page, server)
    one, other = page.tab.evaluate(REPORTS, "Explain")
    assert one == other
    assert one.startswith("LoRAs")


def test_star_click_stores_rating(page: Page, server: Server) -> None:
    load(page, LoRARecommend={"max_loras": 0})  # so that no LoRA of this server counts as rated
    page.tab.evaluate(SET, {"ParamOptimize": {"images": 2}, "Feedback": {"comments": "more mist"}})
    before = page.prompt()
    (feedback,) = run(page, server)[0]["Feedback"]["feedback"]
    stars = page.tab.get_by_title("4 of 5")
    assert stars.count() == 2
    stars.nth(1).click()
    page.tab.wait_for_function(f"() => ({STARS})().includes('★★★★☆')")
    (stored,) = server.client.get(f"/intelligent_generation/generations/{feedback['generation_id']}")["ratings"]
    assert (stored["target_id"], stored["rating"]) == (feedback["image_ids"][1], 4)
    assert stored["comments"] == "more mist"
    assert page.prompt() == before
    page.load(page.workflow())
    page.tab.evaluate("output => window.app.graph._nodes.find(n => n.type === 'Feedback').onExecuted(output)",
                      {"text": ["Not rated yet"], "feedback": [feedback]})  # fmt: skip
    page.tab.wait_for_function(f"() => /Image 1☆☆☆☆☆.*Image 2★★★★☆/.test(({STARS})())")


def test_new_rating_of_equal_choice_reruns_nothing(page: Page, server: Server) -> None:
    """Stands on the rating of the test before."""
    assert not {"PromptAnalyze", "LoRARecommend"} & run(page, server, [node_of(page, "LoRARecommend")])[1]


def test_reports_show_markup_as_text(page: Page, server: Server) -> None:
    selection = json.dumps([{"lora": MARKUP, "strength": 1.0}])
    load(page, LoRARecommend={"selection": selection, "on_unconfirmed": "use_suggestions"})
    run(page, server, [node_of(page, "LoRARecommend")])
    assert MARKUP in page.tab.evaluate(REPORTS, "LoRARecommend")[0]
    assert page.tab.evaluate("() => document.querySelectorAll('img[src=x]').length + (window.injected ? 1 : 0)") == 0
