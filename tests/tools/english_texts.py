"""Makes `locales/en`: every English text of the pack, from the places where it is written.

python -m tests.tools.english_texts    # writes the files; other languages have the same keys
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from intelligence.records import Message

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "web" / "js"
TEMPLATES = ROOT / "example_workflows"
SCHEMAS = ROOT / "tests" / "tools" / "node_schemas.py"
OURS = "intelligentGeneration"
NODE_CATEGORY = "intelligent generation"

TEXT = r"\"((?:[^\"\\]|\\.)*)\""
PAGE_TEXT = re.compile(rf"\b(?:t|later)\(\s*{TEXT}")
CONSTANT = re.compile(rf"const (\w+) = {TEXT};")
FIELD = re.compile(rf"\b(name|tooltip|label): {TEXT}")
IDENTIFIER = re.compile(r"\bid: (\w+|\"[^\"]+\"),")
CATEGORY = re.compile(r"\bcategory: \[([^]]*)\]")
SHOWN_AS = re.compile(rf"shown_as\((?:{TEXT}|(AUTO))")

WORDS = {
    "unet": "steps",
    "upscale": "enlarge",
    "vae": "decode",
    "lora": "LoRAs",
    "loras": "LoRAs",
    "lora_kind": "kind",
    "cfg": "CFG",
    "rescale_cfg": "RescaleCFG",
    "weight_dtype": "weights",
    "vae_dtype": "VAE",
    "tile_size": "VAE tiles",
    "batch_size": "images at a time",
    "best_of": "best of",
    "cfg_split": "guidance",
    "fits": "memory",
    "attention_slicing": "attention",
    "strength_clip": "strength on the text encoders",
    "cpu": "the processor",
    "cuda": "the graphics card",
    "mps": "the graphics card",
}
"""Words of the server that the page does not show as they are."""


def messages() -> dict[str, str]:
    """Key → English sentence of every message in the tables of the stages."""
    tables = sorted((ROOT / "intelligence").rglob("*_messages.py"))
    modules = [importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts)) for path in tables]
    classes = [kind for module in modules for kind in vars(module).values() if isinstance(kind, type)]
    return {one.key: str(one.value) for kind in classes if issubclass(kind, Message) for one in kind}


def page_texts() -> dict[str, str]:
    """Every text that our scripts show, and what nodes show in place of a number."""
    found = {text for script in _scripts().values() for text in PAGE_TEXT.findall(script)}
    nodes = (path.read_text(encoding="utf-8") for path in (ROOT / "nodes").glob("*.py"))
    found |= {text or "auto" for node in nodes for text, _ in SHOWN_AS.findall(node)}
    return {text: text for text in sorted(found)}


def template_texts() -> dict[str, str]:
    """Titles of nodes and notes that the templates have of their own."""
    graphs = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(TEMPLATES.glob("*.json")))
    nodes = [node for graph in graphs for node in graph["nodes"]]
    notes = {text for node in nodes if node["type"] == "MarkdownNote" for text in node["widgets_values"]}
    return {text: text for text in sorted(notes | {node["title"] for node in nodes if "title" in node})}


def setting_texts() -> dict[str, dict[str, str]]:
    """Setting → name and tooltip, in the form of ComfyUI's `settings.json`."""
    return {name: texts for name, texts in _registered().items() if "name" in texts}


def command_texts() -> dict[str, dict[str, str]]:
    """Command → label, in the form of ComfyUI's `commands.json`."""
    return {name: texts for name, texts in _registered().items() if "label" in texts}


def categories() -> dict[str, str]:
    """The headings in the dialog of settings, by their key there."""
    constants = dict(CONSTANT.findall(_scripts()["settings.js"]))
    parts = [part.strip() for found in CATEGORY.findall(_scripts()["settings.js"]) for part in found.split(",")]
    texts = {constants.get(part, part.strip('"')) for part in parts if part}
    return {text.replace(".", "_"): text for text in sorted(texts)}


def english() -> dict[str, Any]:
    """File of `locales/en` → its content."""
    nodes = json.loads(subprocess.check_output([sys.executable, SCHEMAS, "--texts"], cwd=ROOT, text=True))
    known = json.loads((ROOT / "locales" / "es" / "main.json").read_text(encoding="utf-8"))[OURS]["words"]
    words = {name: WORDS.get(name, name.replace("_", " ")) for name in sorted({*known, *WORDS})}
    ours = {"page": page_texts(), "words": words, "reasons": messages(), "templates": template_texts()}
    main = {
        OURS: ours,
        "settingsCategories": categories(),
        "nodeCategories": {"intelligent generation": "intelligent generation"},
    }
    return {"main": main, "nodeDefs": nodes, "settings": setting_texts(), "commands": command_texts()}


def locale(language: str, name: str) -> dict[str, Any]:
    """A file of translations."""
    found: dict[str, Any] = json.loads((ROOT / "locales" / language / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _scripts() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(SCRIPTS.glob("*.js"))}


def _registered() -> dict[str, dict[str, str]]:
    """Id of a setting or command, with `_` for its dots → its texts."""
    constants = {name: text for script in _scripts().values() for name, text in CONSTANT.findall(script)}
    found = {}
    for script in _scripts().values():
        for entry in re.split(r"\n\s*\{", script):
            identifier = IDENTIFIER.search(entry)
            if not identifier or '"hidden"' in entry:
                continue
            name = identifier[1].strip('"') if identifier[1].startswith('"') else constants.get(identifier[1], "")
            texts = dict(FIELD.findall(entry.partition("onChange")[0].partition("function:")[0]))
            if name.startswith("IntelligentGeneration.") and texts:
                found[name.replace(".", "_")] = texts
    return found


def main() -> None:
    for name, content in english().items():
        path = ROOT / "locales" / "en" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
