"""Prints the nodes' inputs and outputs as JSON: node id → {"inputs", "widgets" among them; "outputs"}.

The nodes are imported over stand-ins for ComfyUI's modules, so it runs where ComfyUI is not installed.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

ROOT = Path(__file__).parents[2]
STAND_INS = (
    "comfy",
    "comfy_api",
    "comfy_execution",
    "folder_paths",
    "node_helpers",
    "server",
    "torch",
    "latent_preview",
)


class Slot:
    """An input or output."""

    def __init__(self, id: str = "", *_: Any, optional: bool = False, **texts: Any) -> None:
        self.id, self.optional = id, optional
        self.name: str = texts.get("display_name") or id
        self.tooltip: str = texts.get("tooltip") or ""


class LinkType:
    """Any link type."""

    Input = Output = Slot


class Widget(Slot):
    """An input whose value a workflow saves."""


class WidgetType(LinkType):
    """Any type that has a widget."""

    Input = Widget


@dataclass
class Schema:
    """What `define_schema` returns."""

    node_id: str = ""
    inputs: list[Slot] = field(default_factory=list)
    outputs: list[Slot] = field(default_factory=list)
    display_name: Any = None
    category: Any = None
    description: Any = None
    is_output_node: Any = None
    hidden: Any = None


class Io(SimpleNamespace):
    """`comfy_api.latest.io`."""

    Schema, Input, ComfyNode, NodeOutput, Hidden = Schema, Slot, type("ComfyNode", (), {}), object, MagicMock()

    @staticmethod
    def Custom(_: object) -> type[LinkType]:
        return LinkType

    def __getattr__(self, name: str) -> type[LinkType]:
        return WidgetType if name in ("Boolean", "Combo", "Float", "Int", "String") else LinkType


class StandIn(ModuleType):
    """A module in which every name exists."""

    __path__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        return {"io": Io(), "ComfyExtension": object}.get(name) or MagicMock(name=name)


class Finder(MetaPathFinder, Loader):
    """Makes the stand-ins."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in STAND_INS else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def schemas() -> list[Any]:
    """The schema of every node of the pack."""
    sys.meta_path.insert(0, Finder())
    spec = importlib.util.spec_from_file_location("pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec is not None
    sys.modules["pack"] = importlib.util.module_from_spec(spec)
    return [node.define_schema() for node in importlib.import_module("pack.nodes").NODES]


def node_texts() -> dict[str, dict[str, Any]]:
    """Node id → its English texts, in the form of ComfyUI's `nodeDefs.json`."""

    def texts(slot: Slot) -> dict[str, str]:
        return {"name": slot.name, **({"tooltip": slot.tooltip} if slot.tooltip else {})}

    return {
        schema.node_id: {
            "display_name": schema.display_name,
            "description": schema.description,
            "inputs": {slot.id: texts(slot) for slot in schema.inputs},
            "outputs": {str(place): texts(slot) for place, slot in enumerate(schema.outputs)},
        }
        for schema in schemas()
    }


def node_schemas() -> dict[str, dict[str, list[str]]]:
    """Node id → names of its inputs and outputs, in the order in which workflows save them."""
    found = {}
    for schema in schemas():
        ordered = sorted(schema.inputs, key=lambda slot: slot.optional)
        found[schema.node_id] = {
            "inputs": [slot.id for slot in ordered],
            "widgets": [slot.id for slot in ordered if isinstance(slot, Widget)],
            "outputs": [slot.id for slot in schema.outputs],
        }
    return found


if __name__ == "__main__":
    print(json.dumps(node_texts() if "--texts" in sys.argv else node_schemas(), indent=1))
