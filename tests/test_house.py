"""The house rules that a test can hold: what is installed, what imports what, and that importing does nothing."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "intelligence"

FLOORS = (
    {"errors", "units", "version", "whole_files"},
    {"given_files"},
    {"validation", "settings_files"},
    {"records"},
    {"config"},
    {"database"},
    {"prompt", "models", "pictures"},
    {"hubs"},
    {"registry"},
    {"memory", "learning", "history"},
    {"parameters", "lora"},
    {"generation"},
    {"agents"},
    {"cli"},
    {"__main__", "__init__"},
)
"""From the ground up; a room may import from its own floor's own folder and from the floors below."""

NO_BEGINNING = ("What", "Whether", "How", "One", "Those", "Where")

LAZY = ("torch", "diffusers", "transformers", "peft", "ray", "numpy", "PIL", "pydantic", "safetensors", "sqlite3")


def floor_of(room: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if room in rooms)


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def product() -> list[Path]:
    """Every Python file that users get."""
    return sorted([*modules(), *(ROOT / "nodes").rglob("*.py"), ROOT / "__init__.py"])


def imports_of(path: Path) -> list[tuple[int, str]]:
    """(relative level, dotted module) of every import in a file."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or ""))
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    depth = len(path.relative_to(PACKAGE).parts)
    for level, module in imports_of(path):
        assert level > 0 or not module.startswith(("intelligence", "nodes", "comfy", "folder_paths", "server")), module
        if level == depth and module:
            target = module.split(".")[0]
            assert floor_of(target) < floor_of(room_of(path)), f"{room_of(path)} imports {target}"


@pytest.mark.parametrize("path", product(), ids=lambda path: str(path.relative_to(ROOT)))
def test_docstring_begins_with_verb_or_noun(path: Path) -> None:
    found = [text for text in docstrings(path) if text.split(maxsplit=1)[0] in NO_BEGINNING]
    assert not found, f"say the thing itself, not {', '.join(NO_BEGINNING)}"


def docstrings(path: Path) -> list[str]:
    """Docstrings of modules, classes, functions and fields."""
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    values = [node.value for node in tree if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    return [value.value for value in values if isinstance(value.value, str) and value.value.strip()]


def test_file_names_differ() -> None:
    names = Counter(path.name for path in product() if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_benchmark_still_finds_what_it_measures(path: Path) -> None:
    importlib.import_module(f"tests.benchmarks.{path.stem}")


def test_nodes_tell_errors_without_folders() -> None:
    nodes = [path for path in (ROOT / "nodes").glob("*.py") if "(io.ComfyNode)" in path.read_text(encoding="utf-8")]
    assert len(nodes) >= 10
    for path in nodes:
        text = path.read_text(encoding="utf-8")
        assert text.count("    @errors_without_folders()\n    def execute(") == text.count("(io.ComfyNode)"), path.name


def test_no_plan_without_settings() -> None:
    """Before and after settings are chosen are two records, so nothing has to assert that they are there."""
    assert [path.name for path in product() if "suggested_params is not None" in path.read_text(encoding="utf-8")] == []


def test_imports_have_no_circle() -> None:
    """Every module can be imported first, on its own."""
    names = [
        ".".join(("intelligence", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for path in modules()
        if path.name != "__main__.py"
    ]
    graph = {name: edges(name, names) for name in names}
    seen: dict[str, int] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if seen.get(name) == 2:
            return
        assert name not in path, " → ".join((*path, name))
        for target in graph[name]:
            visit(target, (*path, name))
        seen[name] = 2

    for name in names:
        visit(name, ())


def edges(name: str, names: list[str]) -> set[str]:
    """Modules that `name` imports from, packages' hand-on `__init__` followed to where a name is defined."""
    parts = name.split(".")
    file = PACKAGE.parent.joinpath(*parts)
    is_package = file.is_dir()
    source = file / "__init__.py" if is_package else file.with_suffix(".py")
    targets: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = parts[: len(parts) - node.level + (1 if is_package else 0)]
            module = ".".join((*base, *(node.module or "").split("."))).rstrip(".")
            own_package = module == ".".join(parts[:-1])
            for alias in node.names:
                member = f"{module}.{alias.name}"
                if member in names:
                    targets.add(member)
                elif not own_package or is_package:
                    targets.add(module)
    return targets - {name}


def test_import_loads_and_starts_nothing() -> None:
    code = (
        "import sys, threading, json\n"
        "import intelligence\n"
        "import intelligence.config, intelligence.generation, intelligence.registry, intelligence.lora\n"
        f"print(json.dumps([[name for name in {LAZY!r} if name in sys.modules], threading.active_count()]))"
    )
    heavy, threads = json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True))
    assert set(heavy) <= {"sqlite3", "numpy"}
    assert threads == 1


def test_package_imports_public_names_and_types_them() -> None:
    import intelligence

    stub = (PACKAGE / "__init__.pyi").read_text(encoding="utf-8")
    for name in intelligence.__all__:
        assert getattr(intelligence, name).__name__ == name
        assert f"from {intelligence._HOME_OF[name]} import {name} as {name}\n" in stub


def test_distribution_installs_intelligence_alone(tmp_path: Path) -> None:
    """`nodes` at top level would shadow ComfyUI's own nodes.py."""
    try:
        importlib.metadata.distribution("intelligent-generation")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the distribution is not installed (make test installs it)")
    code = (
        "import importlib.util as u, json\n"
        "import intelligence.generation.embedded\n"
        "print(json.dumps([u.find_spec(name) is not None for name in ('intelligence', 'nodes', 'tests', 'web')]))"
    )
    found = json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, text=True))
    assert found == [True, False, False, False]
