"""The first minute on a Spanish page, in Nodes 2.0: greeting, template, suggestions, help, settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from ..comfyui.examples import AUTO, ui_workflow
from ..comfyui.server import Server
from .page import Page, tab
from .test_nodes_page import REPORTS, SET

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SETTINGS = "/intelligent_generation/settings"
NEWCOMER = {"Comfy.Locale": "es", "IntelligentGeneration.Greeted": False}
AFTERWARDS = {"Comfy.Locale": "en", "IntelligentGeneration.Greeted": True}
GREETING = ".ig-greeting"
FIT = "() => app.extensionManager.command.execute('Comfy.Canvas.FitView')"
QUEUE = "() => void app.queuePrompt(0, 1)"
TITLES = "() => app.graph._nodes.map(node => node.title)"
CHANGE = "([id, value]) => app.extensionManager.setting.set(id, value)"
MINIMAP = "canvas.minimap-canvas"
COVERED_NODES = """
selector => {
    const strip = document.querySelector(selector).getBoundingClientRect()
    const boxes = [...document.querySelectorAll(".lg-node")].map(node => node.getBoundingClientRect())
    return boxes.filter(({left, right, top, bottom}) =>
        left < strip.right && strip.left < right && top < strip.bottom && strip.top < bottom).length
}
"""
NEW_NODE = """
() => {
    const node = LiteGraph.createNode("LoRARecommend")
    app.graph.add(node)
    const {value} = node.widgets.find(widget => widget.name === "min_confidence")
    app.graph.remove(node)
    return value
}
"""


@pytest.fixture(scope="module")
def spanish(browser: Browser, server: Server) -> Iterator[Page]:
    """The page of somebody who opens it for the first time, in Spanish, in the window of a small laptop."""
    server.client.post("/settings", NEWCOMER)
    with tab(browser, server.url, nodes2=True, width=1600, height=900) as page:
        page.load(ui_workflow(AUTO))
        page.tab.evaluate(FIT)
        yield page
    server.client.post("/settings", AFTERWARDS)


def test_greeting_tells_the_library_and_nothing_covers_a_node(spanish: Page) -> None:
    greeting = spanish.tab.locator(GREETING)
    greeting.get_by_text("12 LoRA leídos, 3 quedaron fuera: por qué").click()
    greeting.get_by_text("legacy.pt: un archivo pickle puede ejecutar código").wait_for()
    greeting.locator("summary").click()
    spanish.tab.wait_for_timeout(500)
    assert spanish.tab.evaluate(COVERED_NODES, GREETING) == 0
    assert spanish.tab.evaluate(COVERED_NODES, MINIMAP) == 0
    greeting.get_by_role("button", name="Cerrar").click()
    assert greeting.count() == 0


def test_template_and_reasons_are_in_the_pages_language(spanish: Page) -> None:
    titles = spanish.tab.evaluate(TITLES)
    assert {"Recomendar LoRA", "Codificar prompt", "La imagen", "Empieza aquí"} <= set(titles)
    spanish.tab.evaluate(SET, {"PromptAnalyze": {"prompt": "portrait of the mirkwood witch"}})
    ended = spanish.tab.evaluate("window.ended.size")
    spanish.tab.get_by_role("button", name="Sugerir", exact=True).first.click()
    spanish.tab.wait_for_function("before => window.ended.size > before", arg=ended)
    spanish.tab.wait_for_timeout(500)
    (told,) = spanish.tab.evaluate(REPORTS, "LoRARecommend")
    assert "el prompt contiene sus palabras clave" in told and "a 0,80, lo habitual" in told
    assert spanish.problems == []


def test_choices_and_errors_are_in_the_pages_language(spanish: Page) -> None:
    recommend = spanish.tab.locator(".lg-node", has=spanish.tab.locator("[data-node-type=LoRARecommend]"))
    recommend.get_by_text("automático", exact=True).wait_for()
    spanish.tab.evaluate(SET, {"LoRARecommend": {"mode": "ASSISTED", "selection": ""}})
    recommend.get_by_text("asistido", exact=True).wait_for()
    spanish.tab.evaluate(QUEUE)
    spanish.tab.get_by_text("La «selección» está vacía, y el modo asistido espera tu elección").first.wait_for()
    spanish.tab.evaluate(SET, {"LoRARecommend": {"mode": "AUTO"}, "IntelligentSampler": {"upscaler": "gone.pth"}})
    spanish.tab.evaluate(QUEUE)
    spanish.tab.get_by_text("en este equipo no existe la opción “gone.pth” de ampliador").first.wait_for()
    spanish.tab.evaluate(SET, {"IntelligentSampler": {"upscaler": "auto"}})


def test_help_of_a_node_is_readable_in_the_panel(spanish: Page) -> None:
    spanish.tab.evaluate("() => { app.canvas.selectItems([app.graph._nodes.find(n => n.type === 'LoRARecommend')]) }")
    spanish.tab.locator("[data-testid=info-button]").first.click()
    spanish.tab.get_by_text("Si ninguno encaja, no aplica ninguno").first.wait_for()


def test_settings_of_the_page_are_those_of_the_server(spanish: Page, server: Server) -> None:
    before = server.client.get(SETTINGS)["min_confidence"]
    spanish.tab.evaluate(CHANGE, ["IntelligentGeneration.Confidence", 0.55])
    spanish.tab.wait_for_timeout(300)
    try:
        assert server.client.get(SETTINGS)["min_confidence"] == 0.55
        assert spanish.tab.evaluate(NEW_NODE) == 0.55
    finally:
        spanish.tab.evaluate(CHANGE, ["IntelligentGeneration.Confidence", before])
