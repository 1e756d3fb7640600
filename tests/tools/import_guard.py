"""Names that the pack takes from ComfyUI's modules, tried in a real ComfyUI: python import_guard.py CHECKOUT HOME

Prints as JSON those that are missing there, each with the file that needs it. Names are read from the source: what is
imported, and attributes of imported modules as far as they are written out, in lines that no `hasattr` guards.
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OTHERS = ("comfy", "comfy_api", "comfy_execution", "comfy_extras", "folder_paths", "latent_preview", "node_helpers")
OTHERS += ("server",)


def needed() -> dict[str, str]:
    """Return dotted name → a file that needs it."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "nodes").rglob("*.py")):
        for name in names_in(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(name, str(path.relative_to(ROOT)))
    return found


def names_in(tree: ast.AST) -> Iterator[str]:
    """Yield the names of ComfyUI's modules that a source takes."""
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {
                each.asname or each.name.split(".")[0]: (each.asname and each.name) or "" for each in node.names
            }
            yield from (each.name for each in node.names if _is_other(each.name))
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module and _is_other(node.module):
            for each in node.names:
                yield f"{node.module}.{each.name}"
                modules[each.asname or each.name] = f"{node.module}.{each.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (name := _dotted(node)):
            first, _, rest = name.partition(".")
            full = f"{modules.get(first) or first}.{rest}"
            if first in modules and _is_other(full):
                yield full


def is_there(name: str) -> bool:
    """Return True where a module, or an attribute of one, has this name."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(value, part):
                return _is_set_later(value, part)
            value = getattr(value, part)
        return True
    return False


def _is_set_later(value: object, name: str) -> bool:
    """Return True for attributes that instances get: `PromptServer.instance`, fields of its server."""
    return isinstance(value, type) and name in ("instance", "hidden")


def _is_other(name: str) -> bool:
    return name.split(".")[0] in OTHERS


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests" / "comfyui"))
    from comfy_process import become_comfyui

    become_comfyui(*sys.argv[1:3])
    print(json.dumps({name: file for name, file in needed().items() if not is_there(name)}))


if __name__ == "__main__":
    main()
