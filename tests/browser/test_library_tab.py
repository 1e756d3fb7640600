"""The library's sidebar tab: counts, what was left out and why, rescanning; names are shown as text only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..comfyui.server import Server
from .page import tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BUTTON = ".intelligent-generation-library-tab-button"


def test_library_tab_shows_counts_problems_and_records(browser: Browser, server: Server) -> None:
    markup = server.base / "models" / "loras" / "<img src=x onerror=window.injected=true>.safetensors"
    markup.write_bytes(b"no model")
    try:
        with tab(browser, server.url) as page:
            page.tab.locator(BUTTON).first.click()
            page.tab.get_by_text("Rescan", exact=True).click()
            page.tab.get_by_text("broken.safetensors:").wait_for()
            page.tab.get_by_text(markup.name).first.wait_for()
            assert page.tab.get_by_text("7 × lora").is_visible()
            assert page.tab.evaluate("window.injected") is None
            assert page.tab.locator("img[src=x]").count() == 0
            page.tab.get_by_label("Find a LoRA").fill("witch antler")
            page.tab.get_by_role("button", name="mirkwood").click()
            page.tab.get_by_text("antler crown").first.wait_for()
            assert page.tab.get_by_text("How it is known").is_visible()
            page.tab.get_by_role("button", name="Never choose it").click()
            page.tab.get_by_text("exclude: true").wait_for()
            page.tab.get_by_role("button", name="Undo my corrections").click()
            page.tab.get_by_role("button", name="Never choose it").wait_for()
            page.tab.get_by_role("button", name="Back").click()
            page.tab.get_by_text("7 × lora").wait_for()
            page.tab.get_by_label("Find a LoRA").fill("nothing holds this")
            page.tab.get_by_text("No LoRA holds all of these words.").wait_for()
    finally:
        Path(markup).unlink()
