"""ComfyUI's own node classes."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def core_nodes() -> Any:
    """Return ComfyUI's module `nodes` as its server knows it.

    Packs that import a `nodes` of their own leave that one in `sys.modules`.
    """
    return import_module("server").nodes
