"""Readers of A1111's text by the rules of A1111 and of CivitAI, to hold ours against."""

from __future__ import annotations

import json
import re
from typing import Any

PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
EXTRA_NETWORK = re.compile(r"<(\w+):([^>]+)>")
CIVITAI_TAG = re.compile(r"<(lora|hypernet):([a-zA-Z0-9_\.\-]+):([0-9.]+)>")


def a1111(text: str) -> dict[str, Any]:
    """Prompt, negative prompt, settings and LoRAs [A1111 modules/infotext_utils.py, modules/extra_networks.py]."""
    *lines, last = text.strip().split("\n")
    if len(PAIR.findall(last)) < 3:
        lines, last = [*lines, last], ""
    prompt, negative, in_negative = "", "", False
    for line in map(str.strip, lines):
        if line.startswith("Negative prompt:"):
            in_negative, line = True, line[16:].strip()
        if in_negative:
            negative += ("" if negative == "" else "\n") + line
        else:
            prompt += ("" if prompt == "" else "\n") + line
    found: dict[str, Any] = {"Prompt": prompt, "Negative prompt": negative}
    for key, value in PAIR.findall(last):
        found[key] = json.loads(value) if value[:1] == '"' == value[-1:] else value
    networks = [args.split(":") for kind, args in EXTRA_NETWORK.findall(prompt) if kind == "lora"]
    found["loras"] = {args[0]: float(args[1]) for args in networks}
    return found


def civitai(text: str) -> dict[str, Any]:
    """Fields that CivitAI shows of a picture [civitai src/utils/metadata/automatic.metadata.ts]. Raises as it does."""
    lines = [line for line in text.split("\n") if line.strip()]
    for key in ("Template: ", "Negative Template: "):
        if any(line.startswith(key) for line in lines):
            raise AssertionError(f"{key!r} makes CivitAI drop lines")
    details = next(line for line in lines if line.startswith("Steps: "))
    lines.remove(details)
    hashes: dict[str, str] = {}
    if match := re.search(r", Hashes:\s*({[^}]+})", details):
        hashes = json.loads(match[1])
        details = details.replace(match[0], "")
    resources: list[dict[str, Any]] = []
    if match := re.search(r", Civitai resources:\s*(\[[^\]]+\])", details):
        resources = json.loads(match[1])
        details = details.replace(match[0], "")
    fields = _details(details)
    prompt, *negative = (part.strip() for part in "\n".join(lines).split("Negative prompt:"))
    tags = {name: float(weight) for _, name, weight in CIVITAI_TAG.findall(prompt)}
    for name, value in (fields.pop("Lora hashes", None) or {}).items():
        hashes[f"lora:{name}"] = value
    return {
        **fields,
        "prompt": prompt,
        "negative": " ".join(negative).strip(),
        "hashes": hashes,
        "resources": resources,
        "tags": tags,
    }


def _details(line: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    key = value = ""
    quoted = False
    for char in line:
        if char == '"':
            if quoted:
                result[key] = _details(value.strip())
                key = ""
            quoted = not quoted
        elif char == ":" and not quoted:
            key, value = value.strip(), ""
        elif char == "," and not quoted:
            if key:
                result[key] = value.strip()
            key = value = ""
        else:
            value += char
    if key:
        result[key] = value.strip()
    return result
