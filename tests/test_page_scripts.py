"""The page's scripts: small, without a build step, and with no address of another machine."""

from __future__ import annotations

import re

import pytest

from .tools.english_texts import SCRIPTS

pytestmark = pytest.mark.unit

MAX_BYTES = 150 * 1024
MAX_LINES = 400
IMPORT = re.compile(r"from \"([^\"]+)\"")
ADDRESS = re.compile(r"https?://(?!127\.0\.0\.1)[^\s\"]+")


def scripts() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(SCRIPTS.glob("*.js"))}


def test_scripts_are_small() -> None:
    sizes = [len(text.encode()) for text in scripts().values()]
    assert sum(sizes) <= MAX_BYTES
    assert [name for name, text in scripts().items() if len(text.splitlines()) > MAX_LINES] == []


def test_scripts_import_only_each_other_and_comfyui() -> None:
    theirs = {"../../../scripts/app.js", "../../../scripts/api.js"}
    ours = {f"./{name}" for name in scripts()}
    imported = {path for text in scripts().values() for path in IMPORT.findall(text)}
    assert imported - theirs - ours == set()


def test_scripts_name_no_other_machine() -> None:
    """Requests go through ComfyUI's own `api`, to its server alone."""
    named = {found for text in scripts().values() for found in ADDRESS.findall(text)}
    assert named == set()
    assert [name for name, text in scripts().items() if re.search(r"\bfetch\(|XMLHttpRequest|WebSocket", text)] == []


def test_styles_reach_our_elements_alone() -> None:
    """Every rule needs a class of ours, so that no other pack's element changes."""
    text = scripts()["styles.js"]
    css = re.sub(r"/\*.*?\*/", "", text[text.index("`") + 1 : text.rindex("`")], flags=re.DOTALL)
    selectors = [one.strip() for rule in re.findall(r"([^{}]+)\{", css) for one in rule.split(",")]
    assert len(selectors) > 50
    assert [one for one in selectors if ".ig-" not in one] == []
