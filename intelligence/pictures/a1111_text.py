"""The `parameters` text of A1111, written so that A1111, CivitAI and the common viewers all read it.

Each reader has its limits [A1111 modules/infotext_utils.py; civitai src/utils/metadata/automatic.metadata.ts;
sd-parsers 0.6; sd-prompt-reader 1.3]. A text that one of them cannot take stands where it blanks nothing else: names
in JSON have the characters escaped at which CivitAI's patterns end, and prompts have the words broken by which readers
part the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class UsedModel:
    """A model file that a picture was made with."""

    name: str
    """Without its extension."""
    hash: str = ""
    """AutoV3 or AutoV2, hexadecimal; empty: not known."""
    weight: float = 1.0
    version_id: int | None = None
    """CivitAI's id of its version."""


def a1111_text(
    prompt: str,
    negative_prompt: str,
    settings: Mapping[str, object],
    model: UsedModel | None = None,
    loras: Sequence[UsedModel] = (),
    note: str = "",
) -> str:
    """Return the text: prompt with LoRA tags, negative prompt, settings.

    Args:
        settings: A1111's name → value, `Steps` first; None: left out.
        note: closes the settings.
    """
    lines = [_kept_apart(prompt + "".join(f" {lora_tag(lora.name, lora.weight)}" for lora in loras))]
    if negative_prompt.strip():
        lines.append(f"Negative prompt: {_kept_apart(negative_prompt)}")
    hashes = {"model": model.hash} if model and model.hash else {}
    hashes |= {f"lora:{lora.name}": lora.hash for lora in loras if lora.hash}
    fields = {
        **settings,
        "Lora hashes": ", ".join(f"{_alias(lora.name)}: {lora.hash}" for lora in loras if lora.hash) or None,
    }
    parts = [f"{name}: {quoted(str(value))}" for name, value in fields.items() if value is not None]
    if hashes:
        pairs = ", ".join(f"{_armoured(name)}: {json.dumps(value)}" for name, value in hashes.items())
        parts.append(f"Hashes: {{{pairs}}}")
    if resources := _civitai_resources(model, loras):
        parts.append(f"Civitai resources: {json.dumps(resources)}")
    if note:
        parts.append(f"Note: {quoted(note)}")
    return "\n".join([*lines, ", ".join(parts)])


def quoted(value: str) -> str:
    """Return a value of the settings line as A1111's `unquote` reads it back.

    Unlike `quote` there, it leaves no quotation mark inside: CivitAI takes each for the end of a value.
    """
    if not any(mark in value for mark in ',:\n"'):
        return value
    return _ESCAPED.sub(lambda found: "\\u0022" if found[1] == '"' else found[0], json.dumps(value, ensure_ascii=False))


def lora_tag(name: str, weight: float) -> str:
    """Return `<lora:name:weight>`, without the characters that end a name there."""
    text = f"{weight:.4f}".rstrip("0").rstrip(".")
    return f"<lora:{_NOT_IN_TAGS.sub('', name)}:{text}>"


_ESCAPED = re.compile(r"\\(.)")
_NOT_IN_TAGS = re.compile(r"[:<>\r\n]")
_PARTS_TEXT = re.compile(r"Negative prompt:")
_BEGINS_SETTINGS = re.compile(r"(?:^|\s*\n\s*)(?=(?:Steps|Template|Negative Template): ?)")


def _kept_apart(prompt: str) -> str:
    """Return the prompt with other white space, which encodes to the same tokens, where readers would part it.

    CivitAI takes the first line that begins with `Steps: ` for the settings, and parts prompts at every
    `Negative prompt:`.
    """
    return _BEGINS_SETTINGS.sub(" ", _PARTS_TEXT.sub("Negative  prompt:", prompt))


def _alias(name: str) -> str:
    """Return the name as A1111 writes it in `Lora hashes`, without the marks at which that list is split."""
    return re.sub(r'[:,"\\\r\n]', "", name)


def _armoured(name: str) -> str:
    """Return the name as JSON without a bracket, comma or second colon: readers cut the object out by those."""
    prefix, colon, rest = name.partition(":")
    text = re.sub(r"[{}\[\],:<>]", lambda mark: f"\\u{ord(mark[0]):04x}", json.dumps(rest, ensure_ascii=False)[1:-1])
    return f'"{prefix}{colon}{text}"'


def _civitai_resources(model: UsedModel | None, loras: Sequence[UsedModel]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    if model and model.version_id:
        found.append({"type": "checkpoint", "modelVersionId": model.version_id})
    return found + [
        {"type": "lora", "weight": lora.weight, "modelVersionId": lora.version_id} for lora in loras if lora.version_id
    ]


SWARM_RECORD = "sui_image_params"
"""Name of SwarmUI's record in its JSON."""


def swarmui_text(text: str) -> str:
    """Return SwarmUI's JSON, in ASCII, of what an A1111 text tells [SwarmUI docs/Image Metadata Format.md]."""
    parsed = parse_a1111(text)
    told = parsed.settings
    width, _, height = told.get("Size", "").partition("x")
    numbers = {
        "seed": told.get("Seed"),
        "steps": told.get("Steps"),
        "cfgscale": told.get("CFG scale"),
        "width": width,
        "height": height,
    }
    record = {
        "prompt": parsed.prompt,
        "negativeprompt": parsed.negative_prompt,
        "model": told.get("Model", ""),
        "comfyuisampler": told.get("Sampler", ""),
        **{name: json.loads(number) for name, number in numbers.items() if number},
    }
    return json.dumps({SWARM_RECORD: record})


@dataclass(frozen=True)
class ParsedText:
    prompt: str
    negative_prompt: str
    settings: dict[str, str]


MAX_SETTINGS = 32_768
"""Characters of a settings line: a longer one is text."""

_SETTING = re.compile(r'\s*(\w[\w \-/]{1,80}):\s*("(?:\\.|[^\\"])+"|\{[^}]*\}|\[[^\]]*\]|[^,]*)(?:,|$)')


def parse_a1111(text: str) -> ParsedText:
    """Return the parts of a text, by A1111's rules; where it has no settings line, the settings are empty."""
    *lines, last = text.strip().split("\n")
    settings = dict(_SETTING.findall(last)) if len(last) <= MAX_SETTINGS else {}
    if len(settings) < 3:
        lines, settings = [*lines, last], {}
    prompts: tuple[list[str], list[str]] = ([], [])
    negative = False
    for line in lines:
        if line.strip().startswith("Negative prompt:"):
            negative, line = True, line.strip().removeprefix("Negative prompt:")
        prompts[negative].append(line.strip())
    prompt, negative_prompt = ("\n".join(each).strip() for each in prompts)
    return ParsedText(prompt, negative_prompt, {name: _unquoted(value) for name, value in settings.items()})


def _unquoted(value: str) -> str:
    if value[:1] == '"' == value[-1:]:
        try:
            return str(json.loads(value))
        except ValueError:
            pass
    return value.strip()
