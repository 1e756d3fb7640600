"""The page driver itself, with core nodes only."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ..comfyui.graphs import text_to_image
from ..comfyui.server import Server
from ..comfyui.workflow import to_prompt
from .page import Page

FROM_PROMPT = "prompt => window.app.loadApiJson(prompt, 'from the API')"


@pytest.fixture(scope="module")
def workflow(page: Page) -> dict[str, Any]:
    """The core graph in UI format, arranged by the page."""
    numbers = {name: str(number) for number, name in enumerate(text_to_image(), 1)}
    prompt = {
        numbers[name]: {
            "class_type": node["class_type"],
            "inputs": {k: [numbers[v[0]], v[1]] if isinstance(v, list) else v for k, v in node["inputs"].items()},
        }
        for name, node in text_to_image(seed=41, prefix="page").items()
    }
    page.tab.evaluate(FROM_PROMPT, prompt)
    return page.workflow()


def test_page_loads_and_draws_known_nodes(page: Page, workflow: dict, tmp_path: Path) -> None:
    page.load(workflow)
    assert len(page.nodes()) == len(text_to_image())
    assert page.red_nodes() == []
    assert page.problems == []
    picture = np.asarray(Image.open(page.screenshot(tmp_path / "page.png")).convert("L"))
    assert picture.std() > 10


def test_page_reports_unknown_node(page: Page, workflow: dict) -> None:
    strange = copy.deepcopy(workflow)
    strange["nodes"][0]["type"] = "NobodyHasThisNode"
    page.load(strange)
    assert page.red_nodes() == ["NobodyHasThisNode"]


def test_to_prompt_equals_page(page: Page, workflow: dict, server: Server) -> None:
    page.load(workflow)
    assert to_prompt(page.workflow(), server.client.object_info()) == page.prompt()


def test_page_queues_prompt(page: Page, workflow: dict, server: Server) -> None:
    page.load(workflow)
    entry = server.client.wait(page.queue())
    assert entry["status"]["status_str"] == "success"
    (image,) = [image for output in entry["outputs"].values() for image in output["images"]]
    assert image["filename"].startswith("page")
