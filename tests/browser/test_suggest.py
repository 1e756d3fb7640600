"""Suggest → edit → run → stars → tab switch → reload, as a person does it in the page, with each renderer."""

from __future__ import annotations

import json
import re
from itertools import count
from typing import Any

import pytest
from PIL import Image

from ..comfyui.client import LIBRARY
from ..comfyui.examples import SMALL
from ..comfyui.server import Server
from .page import Page
from .test_nodes_page import SET, load, node_of, run

pytestmark = pytest.mark.usefixtures("untaught")

PROMPT = "portrait of the mirkwood witch at dusk"
numbers = count(2)
WIDGETS = """
type => Object.fromEntries(app.graph._nodes.find(node => node.type === type).widgets
    .filter(widget => !widget.element).map(widget => [widget.name, widget.value]))
"""
LABELS = """
type => app.graph._nodes.find(node => node.type === type).widgets
    .filter(widget => !widget.element).map(widget => widget.label ?? widget.name)
"""
ROWS = """
() => Object.fromEntries(app.graph._nodes.find(node => node.type === "LoRARecommend").widgets
    .filter(widget => widget.name.startsWith("LoRA ")).map(widget => [widget.name, [widget.label, widget.tooltip]]))
"""
SAVED = "type => app.graph._nodes.find(node => node.type === type).serialize().widgets_values"
OFFER = """
name => {
    const loader = app.graph._nodes.find(node => node.type === "CheckpointOrFirst")
    const [, options] = loader.constructor.nodeData.input.required.ckpt_name
    options.options = [...options.options.filter(one => one !== name), name]
    return loader.widgets[0].value
}
"""
"""Has the loader offer a checkpoint, as the server tells it of those of the machine."""

CLICK = """
([type, name, value]) => {
    const node = app.graph._nodes.find(node => node.type === type)
    const widget = node.widgets.find(widget => widget.name === name)
    if (value !== null) widget.value = value
    widget.callback(value, app.canvas, node)
}
"""
"""The callbacks of both renderers when a widget is clicked or dragged."""

WITCH, STRENGTH, WORD = "LoRA Mirkwood Witch", "Strength of Mirkwood Witch", "Word of Mirkwood Witch: green cloak"


def assisted(page: Page, prompt: str = PROMPT, **edits: dict[str, Any]) -> None:
    """Open the example in ASSISTED mode."""
    load(page, LoRARecommend={"mode": "ASSISTED"}, PromptAnalyze={"prompt": prompt}, **edits)


def selection(page: Page) -> dict[str, Any]:
    """The confirmed selection as the node holds it."""
    text = page.tab.evaluate(WIDGETS, "LoRARecommend")["selection"]
    return json.loads(text) if text else {}


def suggest(page: Page) -> str:
    """Press the keys, and wait for the rows. Returns the prompt's id."""
    before = page.tab.evaluate("() => window.ended.size")
    page.tab.locator("#graph-canvas").focus()
    page.tab.keyboard.press("Control+Shift+G")
    page.tab.wait_for_function("before => window.ended.size > before", arg=before)
    return page.tab.evaluate("() => [...window.ended].at(-1)")


def click(page: Page, name: str, value: Any = None) -> None:
    """Use a widget of LoRA Recommend."""
    page.tab.evaluate(CLICK, ["LoRARecommend", name, value])


def test_suggest_confirms_rows_and_run_goes_on_from_there(page: Page, server: Server) -> None:
    prompt = f"{PROMPT}, {next(numbers)} ravens"  # that nothing on this server has cached
    assisted(page, prompt, ParamOptimize=SMALL | {"steps": 0})
    before = page.prompt()
    entry = server.client.wait(suggest(page))
    (cached,) = [set(data["nodes"]) for event, data in entry["status"]["messages"] if event == "execution_cached"]
    ran = {entry["prompt"][2][key]["class_type"] for key in entry["outputs"].keys() - cached}
    assert ran - {"PromptAnalyze"} == {"LoRARecommend", "ParamOptimize"}  # no loader
    assert selection(page)["chosen_for"] == {"prompt": prompt, "checkpoint": "embedded", "family": ""}

    shown = page.tab.evaluate(WIDGETS, "LoRARecommend")
    assert (shown[WITCH], shown[STRENGTH], shown[WORD]) == (True, 0.8, True)
    (recommend,) = [node for node in page.nodes() if node["type"] == "LoRARecommend"]
    assert [*recommend["widgets"]][-1] == "report"  # the rows come before it
    assert any("auto → " in label for label in page.tab.evaluate(LABELS, "ParamOptimize"))
    click(page, STRENGTH, 0.52)
    click(page, WORD, False)
    (chosen,) = selection(page)["loras"]
    assert chosen == {
        "lora": "characters/mirkwood_witch.safetensors",
        "strength": 0.5,
        "trigger_words": ["antler crown"],
    }

    changes = [
        (node["class_type"], name)
        for key, node in page.prompt().items()
        for name, value in node["inputs"].items()
        if before[key]["inputs"].get(name) != value
    ]
    assert changes == [("LoRARecommend", "selection")]
    assert len(page.tab.evaluate(SAVED, "LoRARecommend")) == len(
        [name for name in before[node_of(page, "LoRARecommend")]["inputs"] if name not in ("analysis", "model", "clip")]
    )
    page.tab.evaluate(SET, {"ParamOptimize": SMALL})
    outputs, _ = run(page, server)
    (applied,) = outputs["LoRARecommend"]["suggestions"]
    assert (applied["strength"], applied["trigger_words"]) == (0.5, ["antler crown"])
    assert page.problems == []


def test_rows_tell_confidence_and_reason_and_the_report_shows_pictures(page: Page, server: Server) -> None:
    preview = server.base / "models" / "loras" / "characters" / "mirkwood_witch.png"
    Image.new("RGB", (64, 64), "green").save(preview)
    try:
        server.client.post(f"{LIBRARY}/rescan")
        server.client.library_after_scan()
        assisted(page, "a mirkwood witch with magical powers")
        suggest(page)
        rows = page.tab.evaluate(ROWS)
        label, tooltip = rows[WITCH]
        assert re.fullmatch(r"Mirkwood Witch · \d+ %", label)
        assert "mirkwood" in tooltip
        near = {name for name, (_, told) in rows.items() if "One click adds it." in told}
        assert near and WITCH not in near
        picture = page.tab.locator(".ig-lora-pictures img[title='Mirkwood Witch']")
        assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth }") == 64
    finally:
        preview.unlink()
        server.client.post(f"{LIBRARY}/rescan")
        server.client.library_after_scan()


def test_switched_off_row_stays_and_clear_forgets(page: Page) -> None:
    assisted(page)
    suggest(page)
    click(page, WITCH, False)
    assert selection(page)["loras"] == []
    shown = page.tab.evaluate(WIDGETS, "LoRARecommend")
    assert shown[WITCH] is False and STRENGTH not in shown
    click(page, WITCH, True)
    assert [entry["lora"] for entry in selection(page)["loras"]] == ["characters/mirkwood_witch.safetensors"]
    click(page, "Clear")
    shown = page.tab.evaluate(WIDGETS, "LoRARecommend")
    assert shown["selection"] == "" and WITCH not in shown


def test_changed_prompt_makes_choice_stale_until_kept(page: Page) -> None:
    assisted(page)
    suggest(page)
    page.tab.evaluate(SET, {"PromptAnalyze": {"prompt": "a lighthouse"}})
    page.tab.evaluate("() => app.api.dispatchCustomEvent('graphChanged', {})")
    labels = page.tab.evaluate(LABELS, "LoRARecommend")
    assert any("Chosen for: " + PROMPT[:12] in label for label in labels)
    click(page, "Keep")
    assert selection(page)["chosen_for"]["prompt"] == "a lighthouse"
    assert not any("Chosen for" in label for label in page.tab.evaluate(LABELS, "LoRARecommend"))


def test_changed_checkpoint_makes_choice_stale(page: Page) -> None:
    """Of a loader that takes the first one, as far as the page knows: where one of this machine is named."""
    assisted(page)
    suggest(page)
    assert page.tab.evaluate(OFFER, "other.safetensors") == "auto"
    assert not any("Chosen for" in label for label in page.tab.evaluate(LABELS, "LoRARecommend"))
    page.tab.evaluate(SET, {"CheckpointOrFirst": {"ckpt_name": "other.safetensors"}})
    page.tab.evaluate("() => app.api.dispatchCustomEvent('graphChanged', {})")
    assert "⚠ Chosen for: embedded" in page.tab.evaluate(LABELS, "LoRARecommend")
    click(page, "Keep")
    assert selection(page)["chosen_for"]["checkpoint"] == "other.safetensors"


def test_node_says_that_nothing_is_confirmed(page: Page) -> None:
    assisted(page)
    click(page, "mode", "ASSISTED")
    labels = page.tab.evaluate(LABELS, "LoRARecommend")
    assert any("nothing is confirmed yet" in label for label in labels)
    page.tab.evaluate("() => void app.queuePrompt(0, 1)")
    page.tab.get_by_text("`selection` is empty, and ASSISTED mode waits for your choice").first.wait_for()


def test_bypassed_recommend_is_manual_without_loras(page: Page, server: Server) -> None:
    load(page, PromptAnalyze={"prompt": "the mirkwood witch <lora:mirkwood_witch:0.7> at a well"})
    page.tab.evaluate("() => { app.graph._nodes.find(node => node.type === 'LoRARecommend').mode = 4 }")
    outputs, ran = run(page, server)
    assert {"ParamOptimize", "IntelligentSampler"} <= ran and "LoRARecommend" not in ran
    made = outputs["Feedback"]["feedback"][0]["generation_id"]
    found = server.client.get(f"/intelligent_generation/generations/{made}")["plan"]["recommendations"]
    assert found["suggested_loras"] == []
    page.tab.locator("#graph-canvas").focus()
    page.tab.keyboard.press("Control+Shift+G")
    page.tab.get_by_text("LoRA Recommend is bypassed or muted").wait_for()


def test_undo_takes_one_change_of_a_row_back(page: Page) -> None:
    assisted(page)
    suggest(page)
    before = selection(page)
    click(page, STRENGTH, 0.3)
    assert selection(page) != before
    page.tab.evaluate("() => app.extensionManager.command.execute('Comfy.Undo')")
    assert selection(page) == before
    assert page.tab.evaluate(WIDGETS, "LoRARecommend")[STRENGTH] == before["loras"][0]["strength"]
    page.tab.evaluate("() => app.extensionManager.command.execute('Comfy.Redo')")
    assert page.tab.evaluate(WIDGETS, "LoRARecommend")[STRENGTH] == 0.3
