"""Modules, help and examples that the pack adds to a ComfyUI process."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .locate import PACK, Installation
from .server import Server

HEAVY = ("diffusers", "peft", "ray", "accelerate", "transformers", "ollama", "huggingface_hub", "httpx2", "pydantic")

PROBE = """
import gc
import sys

from comfy_api.latest import ComfyExtension, io


class Modules(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="Modules", category="test", inputs=[], outputs=[], is_output_node=True)

    @classmethod
    def execute(cls):
        return io.NodeOutput(ui={"modules": sorted(sys.modules), "frozen": [gc.get_freeze_count()]})


class Extension(ComfyExtension):
    async def get_node_list(self):
        return [Modules]


def comfy_entrypoint():
    return Extension()
"""


def outputs(base: Path, installation: Installation, packs: dict[str, Path | str]) -> dict[str, list[Any]]:
    with Server(base, installation, {"probe": PROBE, **packs}, checkpoints=False).running() as server:
        run = server.client.run({"1": {"class_type": "Modules", "inputs": {}}})
        assert "IMPORT FAILED" not in server.log()
        return run.outputs["1"]


def test_start_imports_nothing_heavy(installation: Installation, tmp_path: Path) -> None:
    """And takes what is loaded out of garbage collections, which hold up the event loop."""
    packs: dict[str, dict[str, Path | str]] = {"without": {}, "with": {"intelligent-generation": PACK}}
    with ThreadPoolExecutor() as pool:
        started = {name: pool.submit(outputs, tmp_path / name, installation, packs[name]) for name in packs}
    found = {name: run.result() for name, run in started.items()}
    added = {*found["with"]["modules"]} - {*found["without"]["modules"]}
    assert any("intelligent-generation" in name for name in added)
    assert {name for name in HEAVY if name in added} == set()
    assert found["with"]["frozen"][0] > 100_000 > found["without"]["frozen"][0]


@pytest.fixture(scope="module")
def names() -> list[str]:
    return [path.stem for path in (PACK / "web" / "docs").glob("*.md")]


def test_nodes_have_help_and_tooltips(server: Server, names: list[str]) -> None:
    info = server.client.object_info()
    ours = {name: node for name, node in info.items() if node["category"] == "intelligent generation"}
    assert sorted(ours) == sorted(names)
    for name, node in ours.items():
        assert node["description"], name
        for section in ("required", "optional"):
            for key, (_, options) in node["input"].get(section, {}).items():
                assert options.get("tooltip"), f"{name}.{key}"


def test_example_workflows_are_offered(server: Server) -> None:
    offered = server.client.get("/workflow_templates")
    assert {"Prompt to picture", "LoRAs and settings for KSampler"} <= set(offered["intelligent-generation"])
    for name in offered["intelligent-generation"]:
        picture = PACK / "example_workflows" / f"{name}.jpg"
        assert picture.stat().st_size > 10_000
        json.loads((PACK / "example_workflows" / f"{name}.json").read_text(encoding="utf-8"))
