"""The library's sidebar tab: cards, filters, details, corrections, use, sets, history; names are shown as text only."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..comfyui import loras
from ..comfyui.examples import AUTO, SMALL, ui_workflow
from ..comfyui.server import Server
from .page import Page, tab
from .test_nodes_page import SET, run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BUTTON = ".intelligent-generation-library-tab-button"
SETS = "/intelligent_generation/library/sets"
SELECTION = """
() => window.app.graph._nodes.find(node => node.type === "LoRARecommend")
    .widgets.find(widget => widget.name === "selection").value
"""
PROMPT = """
() => window.app.graph._nodes.find(node => node.type === "PromptAnalyze")
    .widgets.find(widget => widget.name === "prompt").value
"""
MARKUP = "<img src=x onerror=window.injected=true> witches"
MANY = 1000
WITCH = "characters/mirkwood_witch.safetensors"


@pytest.fixture(scope="module")
def library(browser: Browser, server: Server) -> Iterator[Page]:
    """The page with the example and the open tab."""
    with tab(browser, server.url) as page:
        page.load(ui_workflow(AUTO))
        page.tab.locator(BUTTON).first.click()
        page.tab.get_by_text("12 LoRAs", exact=True).wait_for()
        yield page


def open_witch(library: Page) -> None:
    library.tab.get_by_role("tab", name="LoRAs").click()
    library.tab.get_by_label("Find a LoRA").fill("witch antler")
    library.tab.get_by_role("button", name="Mirkwood Witch").click()
    library.tab.get_by_text("antler crown").first.wait_for()


def test_library_shows_every_lora_and_filters(library: Page) -> None:
    cards = library.tab.locator(".ig-tile")
    assert cards.count() == 12
    library.tab.get_by_label("Base model").select_option("SD 1.5")
    assert cards.all_text_contents() == ["OOld animeSD 1.5styledoes not fit"]
    library.tab.get_by_label("Base model").select_option("")
    library.tab.get_by_label("Show", exact=True).select_option("Fits this checkpoint")
    shown = cards.all_text_contents()  # of the demo model, which the loader takes where there is no checkpoint
    assert 0 < len(shown) < 12 and all("fits" in text and "does not fit" not in text for text in shown)
    library.tab.get_by_label("Base model").select_option("SD 1.5")
    library.tab.get_by_text("No LoRA is like this.").wait_for()
    library.tab.get_by_label("Base model").select_option("")
    library.tab.get_by_label("Show", exact=True).select_option("")
    library.tab.get_by_label("Find a LoRA").fill("nothing holds this")
    library.tab.get_by_text("No LoRA holds all of these words.").wait_for()
    library.tab.get_by_label("Find a LoRA").fill("")
    assert library.problems == []


def test_library_shows_left_out_files_as_text(library: Page, server: Server) -> None:
    markup = server.base / "models" / "loras" / "<img src=x onerror=window.injected=true>.safetensors"
    markup.write_bytes(b"no model")
    try:
        library.tab.get_by_text("Rescan", exact=True).click()
        library.tab.get_by_text("files were left out: why").click()
        library.tab.get_by_text(markup.name).first.wait_for()
        library.tab.locator(".ig-library").get_by_text("broken.safetensors:").wait_for()
        assert library.tab.evaluate("window.injected") is None
        assert library.tab.locator("img[src=x]").count() == 0
    finally:
        Path(markup).unlink()


def test_scan_tells_its_progress_and_can_be_cancelled_while_it_runs(library: Page, server: Server) -> None:
    many = server.base / "models" / "loras" / "many"
    many.mkdir()
    loras.write_library(many, MANY)
    view = library.tab.locator(".ig-library")
    cancel = view.get_by_role("button", name="Cancel")
    assert cancel.count() == 0
    try:
        view.get_by_role("button", name="Rescan").click()
        view.get_by_text(re.compile(rf"reading \d+ of {MANY}|Reading the library")).wait_for()
        cancel.click()
        view.get_by_role("button", name="Rescan").wait_for()
        assert cancel.count() == 0
        (shown,) = re.findall(r"(\d+) LoRAs", view.inner_text())
        assert 7 <= int(shown) < MANY  # what was read before stays
    finally:
        shutil.rmtree(many)
        view.get_by_role("button", name="Rescan").click()
        view.get_by_text("12 LoRAs", exact=True).wait_for()
    assert library.problems == []


def test_details_correct_and_take_back(library: Page, server: Server) -> None:
    open_witch(library)
    library.tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    library.tab.get_by_role("button", name="antler crown").click()
    library.tab.get_by_role("button", name="antler crown ✓").wait_for()
    assert library.tab.evaluate("navigator.clipboard.readText()") == "antler crown"
    library.tab.get_by_text("Correct what is wrong").click()
    library.tab.get_by_label("Strength", exact=True).fill("0.65")
    library.tab.get_by_role("button", name="Save", exact=True).click()
    library.tab.get_by_role("button", name="Undo my corrections").wait_for()
    model = server.client.get("/intelligent_generation/model", name="mirkwood_witch")
    assert model["correction"] == {"strength": 0.65}
    library.tab.get_by_role("button", name="Never suggest").click()
    library.tab.get_by_role("button", name="Suggest it again").wait_for()
    library.tab.get_by_role("button", name="Undo my corrections").click()
    library.tab.get_by_role("button", name="Never suggest").wait_for()
    assert server.client.get("/intelligent_generation/model", name="mirkwood_witch")["correction"] == {}


def test_use_adds_lora_and_use_always_is_kept(library: Page, server: Server) -> None:
    open_witch(library)
    library.tab.get_by_role("button", name="Use", exact=True).click()
    assert library.tab.evaluate(SELECTION) == f'[{{"lora":"{WITCH}","strength":0.8}}]'
    library.tab.get_by_role("button", name="Use always").click()
    library.tab.get_by_role("button", name="Not always").wait_for()
    assert server.client.get(SETS)["always"] == [{"lora": WITCH, "strength": 0.8, "checkpoint": ""}]
    library.tab.get_by_role("button", name="Not always").click()
    library.tab.get_by_role("button", name="Use always").wait_for()
    assert server.client.get(SETS)["always"] == []


def test_choice_is_kept_as_a_set(library: Page, server: Server) -> None:
    """Stands on the choice of the test before."""
    library.tab.get_by_role("tab", name="Sets").click()
    library.tab.get_by_label("Name of the set").fill("witches")
    library.tab.get_by_role("button", name="Keep this choice as a set").click()
    library.tab.locator("span.ig-dim", has_text="1 LoRA").wait_for()
    assert server.client.get(SETS)["sets"] == {"witches": [{"lora": WITCH, "strength": 0.8}]}
    with library.tab.expect_download() as saved:
        library.tab.get_by_role("button", name="Export").click()
    written = json.loads(saved.value.path().read_text(encoding="utf-8"))
    assert written == {"name": "witches", "loras": [{"lora": WITCH, "strength": 0.8}]}
    library.tab.get_by_role("button", name="Delete").click()
    library.tab.get_by_text("No set yet.").wait_for()
    assert server.client.get(SETS)["sets"] == {}
    exported = {"name": MARKUP, "loras": [{"lora": WITCH, "strength": 0.4}]}
    file = {"name": "set.json", "mimeType": "application/json", "buffer": json.dumps(exported).encode()}
    library.tab.locator("input[type=file][accept='application/json']").last.set_input_files(file)
    library.tab.locator(".ig-library .ig-label", has_text=MARKUP).wait_for()
    assert server.client.get(SETS)["sets"] == {MARKUP: exported["loras"]}
    library.tab.get_by_role("button", name="Use", exact=True).click()
    assert library.tab.evaluate(SELECTION) == f'[{{"lora":"{WITCH}","strength":0.4}}]'
    library.tab.get_by_role("button", name="Delete").click()


def test_history_rates_and_restores(library: Page, server: Server) -> None:
    prompt = "portrait of the mirkwood witch with a lantern"
    library.load(ui_workflow(AUTO))
    library.tab.evaluate(SET, {"ParamOptimize": {**SMALL, "images": 2}, "PromptAnalyze": {"prompt": prompt}})
    (made,) = run(library, server)[0]["Feedback"]["feedback"]
    library.tab.get_by_role("tab", name="History").click()
    library.tab.get_by_label("Find a picture").fill("lantern witch")
    tiles = library.tab.locator(".ig-tile:visible", has_text=prompt)
    library.tab.get_by_text("2 pictures", exact=True).wait_for()
    assert tiles.count() == 2
    rows = tiles.locator(".ig-rating")
    rows.nth(1).focus()
    library.tab.keyboard.press("5")
    library.tab.get_by_text(f"{prompt[:40]} …: saved").wait_for()
    library.tab.get_by_label("Stars", exact=True).select_option("5")
    library.tab.get_by_text("1 picture", exact=True).wait_for()
    rated = server.client.get(f"/intelligent_generation/generations/{made['generation_id']}")["ratings"]
    assert [(one["target_id"], one["rating"]) for one in rated] == [(made["image_ids"][1], 5)]

    library.tab.evaluate(SET, {"PromptAnalyze": {"prompt": "a lake"}, "LoRARecommend": {"selection": ""}})
    tiles.get_by_role("button", name="Use these LoRAs").click()
    library.tab.wait_for_function(f"() => ({SELECTION})().includes('mirkwood_witch')")
    tiles.get_by_role("button", name="Again").click()
    library.tab.get_by_text("Prompt, LoRAs, settings and seed are set.").wait_for()
    texts = [
        node["inputs"].get("prompt") for node in library.prompt().values() if node["class_type"] == "PromptAnalyze"
    ]
    assert texts == [prompt]
    library.tab.get_by_label("Stars", exact=True).select_option("")
    assert library.problems == []


def test_what_was_learned_is_shown_and_taken_back(library: Page, server: Server) -> None:
    """After the picture of the history, which has five stars."""
    library.tab.get_by_role("tab", name="Learned").click()
    view = library.tab.locator(".ig-column:visible")
    view.get_by_role("heading", name="LoRAs, the most liked first").wait_for()
    before = server.client.get("/intelligent_generation/learned")
    assert view.get_by_role("img", name=f"★★★★★: {before['by_stars'][4]}").count() == 1
    assert [one["stars"] for one in before["loras"]] == [[5]]
    with library.tab.expect_response("**/learned/reset"):
        view.get_by_role("button", name="Take back what was learned of").click()
    view.get_by_role("heading", name="LoRAs, the most liked first").wait_for(state="detached")
    assert server.client.get("/intelligent_generation/learned")["loras"] == []
    view.get_by_label("Heed what I do beside stars").uncheck()
    library.tab.wait_for_function(
        "() => fetch('/intelligent_generation/learned').then(r => r.json()).then(r => !r.heeds_acts)"
    )
    view.get_by_label("Heed what I do beside stars").check()
    assert library.problems == []
