"""Scouted seeds and variations are labelled pictures, finished, kept and rated by a click or a key."""

from __future__ import annotations

import itertools

from ..comfyui.server import Server
from .page import Page
from .test_nodes_page import REPORTS, SET, load, run
from .test_nothing_vanishes import stored
from .test_suggest import WIDGETS

numbers = itertools.count()
WIDTH = "async image => { await image.decode(); return image.naturalWidth }"
SHOWN = """
names => app.graph._nodes.find(node => node.type === "IntelligentSampler").widgets
    .filter(widget => names.includes(widget.name) && !widget.hidden && !widget.options.advanced)
    .map(widget => widget.name)
"""
ONE_IS_LEFT = """
type => app.graph._nodes.find(node => node.type === type).widgets
    .find(widget => widget.name === "variations").value === 1
"""


def test_key_finishes_scouted_seed(page: Page, server: Server) -> None:
    load(page, PromptAnalyze={"prompt": f"a lighthouse, number {next(numbers)}"})
    page.tab.evaluate(SET, {"ParamOptimize": {"steps": 8}, "IntelligentSampler": {"scout": 3, "seed": 90}})
    page.tab.evaluate("() => app.graph._nodes.forEach(n => n.widgets?.find(w => w.name === 'scout')?.callback(3))")
    assert page.tab.evaluate(SHOWN, ["scout", "pick"]) == ["scout", "pick"]
    run(page, server)
    names = [button.get_attribute("aria-label") for button in page.tab.locator(".ig-pick").all()]
    assert names == [f"Finish picture {number}, seed {89 + number}" for number in (1, 2, 3)]
    assert page.tab.locator(".ig-pick img").first.evaluate(WIDTH) == 128
    page.tab.locator(".ig-pick").first.focus()
    prompt_id = page.queued_by(lambda: page.tab.keyboard.press("2"))
    entry = server.client.wait(prompt_id)
    assert entry["status"]["status_str"] == "success"
    page.wait_until_ended(prompt_id)
    made = [output["feedback"][0] for output in entry["outputs"].values() if "feedback" in output]
    found = server.client.get(f"/intelligent_generation/generations/{made[0]['generation_id']}")
    assert found["seeds"] == [91]
    assert page.tab.locator(".ig-pick[aria-pressed=true]").get_attribute("data-pick") == "2"

    prompt_id = page.queued_by(lambda: page.tab.locator(".ig-pick").last.press("Enter"))  # as a click does
    assert server.client.wait(prompt_id)["status"]["status_str"] == "success"
    page.wait_until_ended(prompt_id)
    assert page.tab.evaluate(WIDGETS, "IntelligentSampler")["pick"] == 3


def test_variations_are_labelled_kept_and_rated(page: Page, server: Server) -> None:
    load(page, PromptAnalyze={"prompt": f"the mirkwood witch, ink wash, number {next(numbers)}"})
    page.tab.evaluate(SET, {"LoRARecommend": {"variations": 2}})
    outputs, _ = run(page, server)
    shown = outputs["Feedback"]["feedback"]
    assert len(shown) == 2
    rows = page.tab.locator(".ig-rating")
    labels = [row.get_attribute("aria-label") or "" for row in rows.all()]
    assert [label.split(" · ")[0] for label in labels] == ["1", "2"]
    assert labels[0] != labels[1] and "Mirkwood Witch 0." in labels[0]
    for kind in ("LoRARecommend", "Explain"):
        (told,) = page.tab.evaluate(REPORTS, kind)
        assert "Variation 1 of 2" in told and "Variation 2 of 2" in told
    rows.nth(1).focus()
    page.tab.keyboard.press("5")
    page.tab.wait_for_function("() => document.querySelectorAll('.ig-rating')[1].textContent.includes('★★★★★')")
    assert stored(server, shown[0]) == [] and stored(server, shown[1]) == [5]
    rows.nth(1).get_by_role("button", name="Keep this one").press("Enter")
    page.tab.wait_for_function(ONE_IS_LEFT, arg="LoRARecommend")
    page.tab.get_by_text("Prompt, LoRAs, settings and seed are set.").last.wait_for()
    chosen = page.tab.evaluate(WIDGETS, "LoRARecommend")
    assert ("mirkwood_witch" in chosen["selection"]) == ("Mirkwood Witch" in labels[1])


def test_variations_of_settings_are_labelled_kept_and_rated(page: Page, server: Server) -> None:
    load(page, PromptAnalyze={"prompt": f"a lighthouse, ink wash, number {next(numbers)}"})
    page.tab.evaluate(SET, {"ParamOptimize": {"variations": 2, "steps": 0}})
    outputs, _ = run(page, server)
    shown = outputs["Feedback"]["feedback"]
    rows = page.tab.locator(".ig-rating")
    labels = [(row.get_attribute("aria-label") or "").partition(":")[0] for row in rows.all()]
    assert labels == [f"{number} · CFG {one['about']['cfg']:g}" for number, one in enumerate(shown, 1)]
    assert labels[0] != labels[1].replace("2 ·", "1 ·")
    assert rows.last.locator("img").evaluate(WIDTH) == 128
    rows.last.focus()
    page.tab.keyboard.press("4")
    page.tab.locator(".ig-told", has_text=f"{labels[1]}: saved").wait_for()
    assert stored(server, shown[0]) == [] and stored(server, shown[1]) == [4]
    rows.last.get_by_role("button", name="Keep this one").press("Enter")
    page.tab.wait_for_function(ONE_IS_LEFT, arg="ParamOptimize")
    page.tab.get_by_text("Prompt, LoRAs, settings and seed are set.").last.wait_for()
    kept = page.tab.evaluate(WIDGETS, "ParamOptimize")
    assert kept["cfg"] == shown[1]["about"]["cfg"]
