"""Pictures of any program, as far as their metadata goes: A1111, ComfyUI, Fooocus, InvokeAI, SwarmUI and this pack."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import InvalidInputError
from ..records import Record
from .a1111_text import parse_a1111
from .comfy_graph import graph_facts, strength_of
from .embedded_texts import OWN_RECORD, PARAMETERS, read_texts

OWN_PROGRAM = "Intelligent Generation"


@dataclass(frozen=True)
class UsedLoRA:
    name: str
    strength: float = 1.0


@dataclass(frozen=True)
class PictureInfo(Record):
    """Facts that a picture tells about how it was made."""

    program: str
    prompt: str = ""
    """Without LoRA tags."""
    negative_prompt: str = ""
    model: str = ""
    """Name of the checkpoint, as the program writes it."""
    model_hash: str = ""
    loras: tuple[UsedLoRA, ...] = ()
    settings: dict[str, int | float | str] = field(default_factory=dict)
    """`steps`, `cfg`, `sampler`, `scheduler` in the program's words, `seed`, `width`, `height`, `denoise`."""
    has_workflow: bool = False
    """True where a workflow of ComfyUI lies in it."""


Texts = Mapping[str, str]


def read_picture(path: str | Path) -> PictureInfo:
    """Return what a PNG, WebP or JPEG tells. Raises InvalidInputError where it is no picture, or tells nothing."""
    if (info := picture_info(read_texts(path))) is not None:
        return info
    raise InvalidInputError(f"{Path(path).name} does not tell how it was made: nothing of a known program is in it")


_NOT_ITS_FORM = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""Errors of a reader whose program did not write the text, for all its looks."""


def picture_info(texts: Texts) -> PictureInfo | None:
    """Return what the texts of a picture tell, see `read_texts`; None: nothing of a known program."""
    for read in _READERS:
        try:
            info = read(texts)
        except _NOT_ITS_FORM:
            continue
        if info is not None:
            return replace(info, has_workflow="workflow" in texts)
    return PictureInfo("ComfyUI", has_workflow=True) if "workflow" in texts else None


def embedded_record(path: str | Path) -> dict[str, Any] | None:
    """Return the pack's own record inside a picture; None: it has none. Raises InvalidInputError."""
    return _object(read_texts(path).get(OWN_RECORD))


def embedded_workflow(path: str | Path) -> dict[str, Any] | None:
    """Return ComfyUI's workflow inside a picture, as the page saved it; None: it has none. Raises InvalidInputError."""
    return _object(read_texts(path).get("workflow"))


def _object(text: str | None) -> dict[str, Any] | None:
    try:
        data = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


_NAMES = {
    "steps": ("steps", "Steps"),
    "cfg": ("cfg", "cfgscale", "cfg_scale", "guidance_scale", "CFG scale"),
    "sampler": ("sampler", "sampler_name", "comfyuisampler", "Sampler"),
    "scheduler": ("scheduler", "comfyuischeduler", "Schedule type"),
    "seed": ("seed", "Seed"),
    "width": ("width",),
    "height": ("height",),
    "denoise": ("denoise", "Denoising strength", "strength"),
}
"""Setting → its names in the programs, the first that is there counts."""


HIRES_FACTOR, HIRES_SIZE = "Hires upscale", "Hires resize"
"""A1111's names of how much the second pass enlarges [modules/processing.py]."""

_SIZE = re.compile(r"(?<!\d)(\d{1,6})\D+(\d{1,6})(?!\d)")


def _settings(found: Mapping[str, Any], size: object = None) -> dict[str, int | float | str]:
    values = {name: next((found[each] for each in names if each in found), None) for name, names in _NAMES.items()}
    if match := _SIZE.search(str(size or "")):
        values |= {"width": match[1], "height": match[2]}
    return {name: _number(value) for name, value in values.items() if isinstance(value, (str, int, float))}


def _number(value: str | int | float) -> int | float | str:
    """Return a number, or a text that is one; as a text where it is none, or one that JSON has not."""
    for kind in (int, float) if isinstance(value, str) else (type(value),):
        with suppress(ValueError, OverflowError):
            if math.isfinite(number := kind(value)):
                return number
    return str(value)


_TAG = re.compile(r"(?:(?<!\s)\s+)?<lora:([^:<>]++)(?::([-+0-9.]++))?[^<>]*+>")


def _without_tags(prompt: str) -> tuple[str, tuple[UsedLoRA, ...]]:
    loras = tuple(UsedLoRA(name, strength_of(weight or 1.0)) for name, weight in _TAG.findall(prompt))
    return _TAG.sub("", prompt).strip(), loras


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _own(texts: Texts) -> PictureInfo | None:
    record = _object(texts.get(OWN_RECORD))
    return own_info(record) if record else None


def own_info(record: Mapping[str, Any]) -> PictureInfo | None:
    """Return the facts in a record of the pack's own; None: it is none."""
    try:
        chosen = record["plan"]["recommendations"]
        parameters = chosen["suggested_params"]
        settings = {
            "steps": parameters["num_steps"],
            "cfg": parameters["guidance_scale"],
            "sampler": parameters["sampler_name"],
            "scheduler": parameters["scheduler"],
            "seed": record.get("seed"),
            "width": parameters["width"],
            "height": parameters["height"],
        }
        return PictureInfo(
            OWN_PROGRAM,
            chosen["prompt_analysis"]["prompt"],
            chosen["prompt_analysis"].get("negative_prompt", ""),
            record.get("base_model_id", ""),
            (record.get("base_model") or {}).get("autov2") or "",
            tuple(UsedLoRA(each["lora_name"], each["suggested_alpha"]) for each in chosen["suggested_loras"]),
            _settings(settings),
        )
    except (KeyError, TypeError, AttributeError):
        return None


def _swarmui(texts: Texts) -> PictureInfo | None:
    data = _object(texts.get(PARAMETERS))
    found = data.get("sui_image_params") if data else None
    if not isinstance(found, dict):
        return None
    names, weights = (_listed(found.get(key)) for key in ("loras", "loraweights"))
    return PictureInfo(
        "SwarmUI",
        _text(found.get("prompt")),
        _text(found.get("negativeprompt")),
        _text(found.get("model")),
        loras=_paired(names, weights),
        settings=_settings(found),
    )


def _listed(value: Any) -> list[Any]:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value if value else []


def _paired(names: Iterable[Any], weights: list[Any]) -> tuple[UsedLoRA, ...]:
    return tuple(
        UsedLoRA(str(name), strength_of(weights[index]) if index < len(weights) else 1.0)
        for index, name in enumerate(names)
        if name
    )


def _fooocus(texts: Texts) -> PictureInfo | None:
    data = next((found for key in (PARAMETERS, "Comment", "comment") if (found := _object(texts.get(key)))), None)
    if data is None or "base_model" not in data:
        return None
    loras = found if isinstance(found := data.get("loras"), list) else []
    named = [each for each in loras if isinstance(each, list) and len(each) >= 2]
    return PictureInfo(
        "Fooocus",
        _text(data.get("prompt")),
        _text(data.get("negative_prompt")),
        _text(data.get("base_model")),
        _text(data.get("base_model_hash")),
        tuple(UsedLoRA(str(name), strength_of(weight)) for name, weight, *_ in named),
        _settings(data, data.get("resolution")),
    )


def _invokeai(texts: Texts) -> PictureInfo | None:
    data = _object(texts.get("invokeai_metadata"))
    if data is None:
        return _invokeai_old(texts)
    model = found if isinstance(found := data.get("model"), dict) else {}
    loras = []
    for each in data.get("loras") or ():
        named = each.get("model") or each.get("lora") or {} if isinstance(each, dict) else {}
        if name := named.get("name") or named.get("model_name"):
            loras.append(UsedLoRA(str(name), strength_of(each.get("weight"))))
    return PictureInfo(
        "InvokeAI",
        _text(data.get("positive_prompt")),
        _text(data.get("negative_prompt")),
        _text(model.get("name") or model.get("model_name")),
        _text(model.get("hash")).rpartition(":")[2],
        tuple(loras),
        _settings({"sampler": data.get("scheduler"), **{k: v for k, v in data.items() if k != "scheduler"}}),
    )


def _invokeai_old(texts: Texts) -> PictureInfo | None:
    """Read InvokeAI 2's `sd-metadata`, in which `[words]` are negative."""
    data = _object(texts.get("sd-metadata"))
    image = data.get("image") if data else None
    if not (data and isinstance(image, dict)):
        return None
    prompts = image.get("prompt")
    parts = prompts if isinstance(prompts, list) else [{"prompt": prompts}]
    text = " ".join(_text(part.get("prompt")) for part in parts if isinstance(part, dict))
    negative = re.findall(r"\[([^\]]*)\]", text)
    return PictureInfo(
        "InvokeAI",
        re.sub(r"\s*\[[^\]]*\]", "", text).strip(),
        ", ".join(negative),
        _text(data.get("model_weights")),
        _text(data.get("model_hash")),
        settings=_settings(image),
    )


_VERSIONS = {"Fooocus": "Fooocus", "ComfyUI": "ComfyUI", "f": "Forge"}
"""Beginning of `Version` in A1111's text → the program that wrote it."""


def _a1111(texts: Texts) -> PictureInfo | None:
    found = parse_a1111(texts.get(PARAMETERS, ""))
    if "Steps" not in found.settings:
        return None
    prompt, loras = _without_tags(found.prompt)
    settings = found.settings
    version = settings.get("Version", "")
    program = next((name for start, name in _VERSIONS.items() if version.startswith(start)), "A1111")
    return PictureInfo(
        "ComfyUI" if "prompt" in texts else program,
        prompt,
        found.negative_prompt,
        settings.get("Model", ""),
        settings.get("Model hash", ""),
        loras,
        _settings(_of_whole_picture(settings), _whole_size(settings)),
    )


def _of_whole_picture(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings of the first pass, where a second followed: the denoise there is that of the second."""
    second = HIRES_FACTOR in settings or HIRES_SIZE in settings
    return {name: value for name, value in settings.items() if not (second and name == "Denoising strength")}


def _whole_size(settings: Mapping[str, str]) -> str | None:
    """Size of the picture; A1111 writes that of the first pass beside the factor or size of the second."""
    first = _SIZE.search(settings.get("Size", ""))
    if HIRES_SIZE in settings or first is None:
        return settings.get(HIRES_SIZE) or settings.get("Size")
    factor = strength_of(settings.get(HIRES_FACTOR, 1.0))
    return "x".join(str(int(int(side) * factor)) for side in first.groups()) if 1 <= factor <= 16 else first[0]


def _comfyui(texts: Texts) -> PictureInfo | None:
    graph = _object(texts.get("prompt"))
    facts = graph_facts(graph) if graph else None
    if facts is None:
        return None
    prompt, tagged = _without_tags(facts.positive)  # which nodes of several packs apply
    return PictureInfo(
        "ComfyUI",
        prompt,
        facts.negative,
        facts.model,
        loras=(*(UsedLoRA(name, weight) for name, weight in facts.loras), *tagged),
        settings=_settings(facts.settings),
    )


_READERS: tuple[Callable[[Texts], PictureInfo | None], ...] = (
    _own,
    _swarmui,
    _invokeai,
    _fooocus,
    _a1111,
    _comfyui,
)
