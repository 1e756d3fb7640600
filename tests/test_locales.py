"""Translations: of every sentence that is a reason, of every text of the page, of every node; placeholders alike."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from intelligence.records import Message

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent
LANGUAGES = sorted(path.name for path in (ROOT / "locales").iterdir() if path.name != "en")
SCHEMAS = ROOT / "tests" / "tools" / "node_schemas.py"
PAGE_TEXT = re.compile(r"\bt\(\s*\"((?:[^\"\\]|\\.)*)\"")


def locale(language: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "locales" / language / f"{name}.json").read_text(encoding="utf-8"))
    return found


def messages() -> dict[str, str]:
    """Key → English sentence of every message in the tables of the stages that reasons are made of."""
    tables = [path for path in (ROOT / "intelligence").rglob("*_messages.py")]
    modules = [importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts)) for path in tables]
    classes = [kind for module in modules for kind in vars(module).values() if isinstance(kind, type)]
    return {one.key: str(one.value) for kind in classes if issubclass(kind, Message) for one in kind}


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_translated_reasons_have_the_same_placeholders(language: str) -> None:
    english = messages()
    translated = locale(language, "main")["intelligentGeneration"]["reasons"]
    known = {key: text for key, text in translated.items() if key in english}
    assert [key for key, text in known.items() if placeholders(text) != placeholders(english[key])] == []
    assert len(known) > 150


@pytest.mark.parametrize("language", LANGUAGES)
def test_page_texts_are_translated(language: str) -> None:
    scripts = [path.read_text(encoding="utf-8") for path in (ROOT / "web" / "js").glob("*.js")]
    texts = {text for script in scripts for text in PAGE_TEXT.findall(script)}
    translated = locale(language, "main")["intelligentGeneration"]["page"]
    assert sorted(texts - translated.keys()) == []
    assert [text for text in texts if placeholders(text) != placeholders(translated[text])] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_nodes_are_translated(language: str) -> None:
    printed = subprocess.check_output([sys.executable, SCHEMAS], cwd=ROOT, text=True)
    nodes = locale(language, "nodeDefs")
    for node, schema in json.loads(printed).items():
        assert sorted(set(schema["inputs"]) - nodes[node]["inputs"].keys()) == [], node
        assert len(nodes[node].get("outputs", {})) == len(schema["outputs"]), node


@pytest.mark.parametrize("language", LANGUAGES)
def test_help_pages_are_translated(language: str) -> None:
    pages = {path.stem for path in (ROOT / "web" / "docs").glob("*.md")}
    assert {path.parent.name for path in (ROOT / "web" / "docs").glob(f"*/{language}.md")} == pages
