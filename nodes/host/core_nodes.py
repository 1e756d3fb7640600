"""ComfyUI's own node classes."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def core_nodes() -> Any:
    """Return ComfyUI's module `nodes`. An import statement would confuse type checkers: this package has its name."""
    return import_module("nodes")
