"""Sidecar formats of other model managers: JSON of each as a partial record.

Sources: the code of AUTOMATIC1111 and Forge, Civitai Helper, sd-civitai-browser-plus, ComfyUI-Lora-Manager, SwarmUI,
rgthree-comfy, Stability Matrix and Civicomfy, read in November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..models.civitai_record import hashes_of, version_fields
from ..models.fields import base_model_finding, strengths, strengths_in, tag_counts, trigger_sets, triggers_in
from ..models.header_facts import spec_facts
from ..models.metadata import EMPTY, ModelMetadata, merge
from ..models.name_patterns import plain_name
from ..models.sanitize import as_dict, clean_list, clean_number, clean_text, dicts, parse_json, plain_text, plain_texts

Reader = Callable[[dict[str, Any], str], ModelMetadata]
"""(the JSON object, file name of the model) → the facts in it."""

HUB_CONFIDENCE = 0.95
"""Confidence of a hub's word about the base model; see `version_fields`."""

BY_HAND = 0.97
"""Confidence of a base model that a user of another manager set against the hub's word."""

_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
_RANGE = re.compile(r"\s*(-?\d*\.?\d+)\s*(?:[-~–]|to)\s*(-?\d*\.?\d+)\s*")


def any_json(data: dict[str, Any], model: str) -> ModelMetadata:
    """`X.json`: A1111's card editor by its name, but some tools write a record of CivitAI or ModelSpec there."""
    if isinstance(data.get("modelVersions"), list):
        return api_info(data, model, "civitai (.json)")
    if isinstance(data.get("trainedWords"), list) and ("modelId" in data or "files" in data):
        return civitai_info(data, model, "civitai (.json)")
    if any(key.startswith("modelspec.") for key in data):
        return swarm(data, model, "ModelSpec (.json)")
    return a1111(data, model)


def a1111(data: dict[str, Any], model: str) -> ModelMetadata:
    """Return the user's notes in A1111's card editor, with what Civitai Browser+ and Civitai Helper add to them."""
    source = "user notes (.json)"
    notes = plain_text(data.get("notes"))
    words = trigger_sets([data.get("activation text")], source) or trigger_sets(triggers_in(notes), source)
    tags = data.get("tags")
    return replace(
        EMPTY,
        source_id=_ids(data.get("modelId"), data.get("modelVersionId")),
        trigger_sets=words,
        description=plain_texts(data.get("description"), data.get("notes")),
        tags=tag_counts(tags.split(",") if isinstance(tags, str) else tags),
        creator=_creator(data.get("creator")),
        sha256=sha256_in(data.get("sha256")),
        **base_model_finding(data.get("baseModel"), source, HUB_CONFIDENCE)
        or base_model_finding(data.get("sd version"), source, 0.4),
        **(strengths(data.get("preferred weight")) or strengths_in(notes)),
    )


def civitai_info(data: dict[str, Any], model: str, source: str = "civitai (.civitai.info)") -> ModelMetadata:
    """`X.civitai.info` of Civitai Helper: CivitAI's model-version record; some of its ages add the model's own."""
    known = as_dict(data.get("model"))
    about = {name: data[name] for name in ("tags", "creator") if data.get(name)} | known
    return replace(EMPTY, **version_fields(data, about, source, _file_named(data, model)))


def api_info(data: dict[str, Any], model: str, source: str = "civitai (.api_info.json)") -> ModelMetadata:
    """`X.api_info.json` of Civitai Browser+: CivitAI's record of the model with all its versions."""
    versions = dicts(data.get("modelVersions"), 1000)
    named = [version for version in versions if _file_named(version, model)]
    chosen = (named or versions or [{}])[0]
    return replace(EMPTY, **version_fields(chosen, data, source, _file_named(chosen, model)))


def lora_manager(data: dict[str, Any], model: str) -> ModelMetadata:
    """`X.metadata.json` of ComfyUI-Lora-Manager; what the user changed there counts before CivitAI's record in it."""
    source = "Lora Manager (.metadata.json)"
    version = as_dict(data.get("civitai"))
    pictures = [*dicts(version.get("customImages")), *dicts(version.get("images"))]
    hub = version_fields({**version, "images": pictures}, as_dict(version.get("model")), source)
    try:
        tips = as_dict(parse_json(clean_text(data.get("usage_tips"), 2000) or "{}"))
    except ValueError:
        tips = {}
    low, high = _range(tips.get("strength_range"))
    notes = plain_text(data.get("notes"))
    base = base_model_finding(data.get("base_model"), source, HUB_CONFIDENCE)
    if base and base["base_model"] != hub.get("base_model", base["base_model"]):
        base = base_model_finding(data["base_model"], f"{source}, set by hand", BY_HAND)
    words = trigger_sets(clean_list(data.get("trainedWords")), source)
    if not (words or hub["trigger_sets"]):
        words = trigger_sets(triggers_in(notes), source)
    own = replace(
        EMPTY,
        title=clean_text(data.get("model_name"), 200),
        description=plain_texts(data.get("notes"), data.get("modelDescription")),
        tags=tag_counts(data.get("tags")),
        trigger_sets=words,
        sha256=sha256_in(data.get("sha256")),
        autov3=clean_text(data.get("autov3"), 12).lower() or None,
        excluded=data.get("exclude") is True,
        favourite=data.get("favorite") is True,
        strength_clip=strengths(tips.get("clip_strength")).get("strength"),
        **base,
        **(
            strengths(tips.get("strength"), tips.get("strength_min", low), tips.get("strength_max", high))
            or strengths_in(notes)
        ),
    )
    return merge([own, replace(EMPTY, **hub)])


def swarm(data: dict[str, Any], model: str, source: str = "SwarmUI (.swarm.json)") -> ModelMetadata:
    """`X.swarm.json` of SwarmUI: ModelSpec's entries, with or without their `modelspec.`."""
    spec = {key.removeprefix("modelspec."): value for key, value in data.items()}
    architecture = clean_text(spec.get("architecture"), 100)
    base = base_model_finding(architecture.removesuffix("/lora"), source, 0.5)
    return replace(spec_facts(spec, source), **base)


def rgthree(data: dict[str, Any], model: str) -> ModelMetadata:
    """`X.safetensors.rgthree-info.json`."""
    source = "rgthree (.rgthree-info.json)"
    version = as_dict(as_dict(data.get("raw")).get("civitai"))
    known = dicts(data.get("trainedWords"), 500)
    mine = [item.get("word") for item in known if item.get("user")]
    words = [item.get("word") for item in known if item.get("civitai") and not item.get("user")]
    has_sets = bool(clean_list(version.get("trainedWords")))
    pictures = [
        {"meta": {"prompt": image.get("positive"), "resources": image.get("resources")}}
        for image in dicts(data.get("images"))
    ]
    seen = {"images": pictures, "id": version.get("id"), "files": version.get("files")}
    note = plain_text(data.get("userNote"))
    older = data.get("triggerWords") if not known else None
    own = replace(
        EMPTY,
        title=clean_text(data.get("name"), 200),
        description=note,
        tags=tag_counts(data.get("tags")),
        trigger_sets=trigger_sets([*mine, *([] if has_sets else words), *clean_list(older)], source),
        example_prompts=version_fields(seen, {}, source)["example_prompts"],
        sha256=sha256_in(data.get("sha256")),
        **base_model_finding(data.get("baseModel"), source, 0.9),
        **(strengths(data.get("strength"), data.get("strengthMin"), data.get("strengthMax")) or strengths_in(note)),
    )
    return merge([own, replace(EMPTY, **version_fields(version, as_dict(version.get("model")), source))])


def connected_model_info(data: dict[str, Any], model: str) -> ModelMetadata:
    """`X.cm-info.json` of Stability Matrix, and `X.cminfo.json` of Civicomfy."""
    source = "Stability Matrix (.cm-info.json)" if "CreatorUsername" not in data else "Civicomfy (.cminfo.json)"
    hashes = hashes_of({"hashes": data.get("Hashes")})
    description = plain_texts(data.get("VersionDescription"), data.get("ModelDescription"))
    return replace(
        EMPTY,
        source_id=_ids(data.get("ModelId"), data.get("VersionId")),
        title=clean_text(data.get("UserTitle"), 200) or clean_text(data.get("ModelName"), 200),
        description=description,
        tags=tag_counts(data.get("Tags")),
        trigger_sets=trigger_sets(clean_list(data.get("TrainedWords")), source),
        creator=_creator(data.get("AuthorUsername")) or _creator(data.get("CreatorUsername")),
        sha256=sha256_in(hashes.get("sha256")),
        autov2=hashes.get("autov2", "")[:10] or None,
        autov3=hashes.get("autov3", "")[:12] or None,
        **base_model_finding(data.get("BaseModel"), source, 0.9),
        **strengths_in(description),
    )


def note(text: str, source: str, *, all_triggers: bool = False) -> ModelMetadata:
    """Return the facts in a person's note: its lines of trigger words and a strength.

    Args:
        all_triggers: the whole text is trigger words, a set a line.
    """
    phrases = text.splitlines() if all_triggers else triggers_in(text)
    description = "" if all_triggers else text
    return replace(EMPTY, description=description, trigger_sets=trigger_sets(phrases, source), **strengths_in(text))


def sha256_in(value: Any) -> str | None:
    """Return the first SHA-256 in a text."""
    match = _SHA256.search(clean_text(value, 500).lower())
    return match[0] if match else None


def _file_named(version: dict[str, Any], model: str) -> dict[str, Any] | None:
    """Return the file of a version that has the model's name; None where none has."""
    files = (file for file in dicts(version.get("files")) if plain_name(clean_text(file.get("name"), 300)))
    return next((file for file in files if plain_name(clean_text(file.get("name"), 300)) == plain_name(model)), None)


def _range(value: Any) -> tuple[float | None, float | None]:
    """Return the bounds in `0.6-0.9` or [0.6, 0.9]."""
    if isinstance(value, list) and len(value) == 2:
        return clean_number(value[0], -10, 10), clean_number(value[1], -10, 10)
    match = _RANGE.fullmatch(clean_text(value, 40))
    return (float(match[1]), float(match[2])) if match else (None, None)


def _ids(model_id: Any, version_id: Any) -> str | None:
    ids = [str(number) for value in (model_id, version_id) if (number := clean_number(value, 1, 2**53 - 1))]
    return ":".join(text.removesuffix(".0") for text in ids) or None


def _creator(value: Any) -> str | None:
    name = value if isinstance(value, str) else as_dict(value).get("username")
    return clean_text(name, 100) or None
