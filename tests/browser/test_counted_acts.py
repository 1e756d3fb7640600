"""The clicks and keys that a person needs, counted with real ones, in Nodes 2.0."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..comfyui.examples import AUTO, SMALL
from ..comfyui.server import Server
from .page import Page
from .test_nodes_page import SET, load, run
from .test_suggest import WIDGETS, assisted, selection, suggest

pytestmark = [
    pytest.mark.usefixtures("untaught"),
    pytest.mark.parametrize("page", [True], indirect=True, ids=["nodes2"]),
]

COUNT = """
() => {
    const counted = window.acts = {click: 0, keydown: 0}
    for (const kind of Object.keys(counted))
        window.addEventListener(kind, event => event.isTrusted && counted[kind]++, {capture: true})
}
"""
STARTED = """
() => {
    window.startedPrompts = []
    app.api.addEventListener("execution_start", ({detail}) => window.startedPrompts.push(detail.prompt_id))
}
"""
TEMPLATES = "() => app.extensionManager.command.execute('Comfy.BrowseTemplates')"
CORE_PICTURES = "**/templates/*.webp"
BIG = "() => { app.canvas.ds.scale = 1; app.canvas.ds.offset = [-350, 150]; app.canvas.setDirty(true, true) }"
MIN_READABLE_SCALE = 8 / 14
"""Scale below which ComfyUI's canvas draws no text."""


@pytest.fixture
def small_window(page: Page) -> Iterator[None]:
    """A window of a small laptop."""
    page.tab.set_viewport_size({"width": 1600, "height": 900})
    yield
    page.tab.set_viewport_size({"width": 1800, "height": 1100})


CENTRED = "type => app.canvas.centerOnNode(app.graph._nodes.find(node => node.type === type))"


def acts(page: Page) -> tuple[int, int]:
    """Clicks and keys since `COUNT`."""
    counted = page.tab.evaluate("window.acts")
    return counted["click"], counted["keydown"]


def test_two_clicks_from_example_to_running_prompt(page: Page, small_window: None) -> None:
    page.tab.route(CORE_PICTURES, lambda route: route.abort())  # a hundred videos and pictures, which take a minute
    page.tab.evaluate(TEMPLATES)
    page.tab.get_by_role("button", name="intelligent-generation").click()
    page.tab.evaluate(STARTED)
    page.tab.evaluate(COUNT)
    page.tab.get_by_role("dialog").get_by_text(AUTO, exact=True).click()
    page.tab.wait_for_function("() => app.graph._nodes.some(node => node.type === 'IntelligentSampler')")
    page.tab.get_by_role("dialog").wait_for(state="hidden")
    page.tab.wait_for_timeout(500)
    assert page.red_nodes() == []
    assert page.tab.evaluate("app.canvas.ds.scale") >= MIN_READABLE_SCALE
    prompt_id = page.queued_by(lambda: page.tab.get_by_test_id("queue-button").click())
    page.tab.wait_for_function("id => window.startedPrompts.includes(id)", arg=prompt_id)
    page.tab.evaluate("() => app.api.interrupt()")
    assert acts(page) == (2, 0)
    page.tab.unroute(CORE_PICTURES)


def test_one_key_rates_the_picture_under_the_mouse(page: Page, server: Server) -> None:
    load(page)
    made = run(page, server)[0]["Feedback"]["feedback"][0]["generation_id"]
    page.tab.evaluate(CENTRED, "Feedback")  # the page of an earlier test may have it under the minimap
    page.tab.locator(".ig-rating").first.hover()
    page.tab.evaluate(COUNT)
    page.tab.keyboard.press("4")
    page.tab.locator(".ig-told", has_text="saved").wait_for()
    stored = server.client.get(f"/intelligent_generation/generations/{made}")["ratings"]
    assert [one["rating"] for one in stored] == [4]
    assert acts(page) == (0, 1)
    (saver,) = [node["id"] for node in page.nodes() if node["type"] == "SaveGeneration"]
    page.tab.evaluate(CENTRED, "SaveGeneration")
    page.tab.locator(f"[data-node-id='{saver}'] [aria-roledescription='image gallery']").hover()
    page.tab.keyboard.press("2")
    page.tab.get_by_role("radio", name="2 stars", checked=True).wait_for()
    stored = server.client.get(f"/intelligent_generation/generations/{made}")["ratings"]
    assert [one["rating"] for one in stored] == [2]


def test_one_click_applies_what_was_not_applied(page: Page, server: Server) -> None:
    assisted(page, "a girl with magical powers", ParamOptimize=SMALL)
    suggest(page)
    names = [*page.tab.evaluate(WIDGETS, "LoRARecommend")]
    applied = {entry["lora"] for entry in selection(page).get("loras", [])}
    (recommend,) = [node for node in page.nodes() if node["type"] == "LoRARecommend"]
    shown = page.tab.locator(f"[data-node-id='{recommend['id']}']")
    off = [name for name in names if name.startswith("LoRA ") and recommend["widgets"][name] is False]
    assert 0 < len(off) <= 8
    page.tab.evaluate(BIG)
    page.tab.evaluate(COUNT)
    shown.get_by_role("switch", name=off[0]).click()
    page.tab.wait_for_function(
        "([name]) => app.graph._nodes.find(node => node.type === 'LoRARecommend')"
        ".widgets.find(widget => widget.name === name).value",
        arg=[off[0]],
    )
    assert acts(page) == (1, 0)
    added = {entry["lora"] for entry in selection(page)["loras"]} - applied
    assert len(added) == 1
    outputs, _ = run(page, server)
    assert added <= {one["lora"] for one in outputs["LoRARecommend"]["suggestions"]}


def test_buttons_suggest_and_suggest_again(page: Page) -> None:
    assisted(page)
    page.tab.evaluate(SET, {"PromptAnalyze": {"prompt": "a lighthouse"}})
    ended = page.tab.evaluate("window.ended.size")
    page.tab.get_by_role("button", name="Suggest", exact=True).first.click()
    page.tab.wait_for_function("before => window.ended.size > before", arg=ended)
    page.tab.evaluate(SET, {"PromptAnalyze": {"prompt": "portrait of the mirkwood witch"}})
    page.tab.evaluate(BIG)
    (recommend,) = [node["id"] for node in page.nodes() if node["type"] == "LoRARecommend"]
    ended = page.tab.evaluate("window.ended.size")
    page.tab.locator(f"[data-node-id='{recommend}']").get_by_role("button", name="Suggest").click()
    page.tab.wait_for_function("before => window.ended.size > before", arg=ended)
    assert "mirkwood_witch" in selection(page)["loras"][0]["lora"]
