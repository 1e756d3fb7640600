"""Sidecars of other tools beside a model file: descriptions, trigger words, strengths, hashes, previews.

Every format becomes a partial record. A file that cannot be read is left out with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..models.civitai_record import version_fields
from ..models.fields import MAX_EXAMPLES, base_model_finding, strengths, strengths_in, tag_counts, trigger_sets
from ..models.kinds import ExamplePrompt
from ..models.metadata import EMPTY, ModelMetadata, merge
from ..models.sanitize import (
    as_dict,
    clean_list,
    clean_text,
    dicts,
    parse_json,
    plain_text,
    plain_texts,
    read_capped,
    without_lora_tags,
)

PREVIEWS = tuple(f"{middle}.{extension}" for middle in (".preview", "") for extension in ("png", "jpg", "jpeg", "webp"))
"""Never SVG or HTML: those run scripts where they are shown."""

_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")


def _a1111(data: dict[str, Any]) -> ModelMetadata:
    """`X.json`: the user's notes in A1111's card editor."""
    return replace(
        EMPTY,
        trigger_sets=trigger_sets([data.get("activation text")], "user notes (.json)"),
        description=plain_texts(data.get("description"), data.get("notes")),
        **base_model_finding(data.get("sd version"), "user notes (.json)", 0.4),
        **(strengths(data.get("preferred weight")) or strengths_in(plain_text(data.get("notes")))),
    )


def _civitai_info(data: dict[str, Any]) -> ModelMetadata:
    """`X.civitai.info`: CivitAI's model-version record."""
    return replace(EMPTY, **version_fields(data, as_dict(data.get("model")), "civitai (.civitai.info)"))


def _lora_manager(data: dict[str, Any]) -> ModelMetadata:
    """`X.metadata.json` of ComfyUI-Lora-Manager."""
    source = "Lora Manager (.metadata.json)"
    version = as_dict(data.get("civitai"))
    try:
        tips = as_dict(parse_json(clean_text(data.get("usage_tips"), 2000) or "{}"))
    except ValueError:
        tips = {}
    notes = plain_text(data.get("notes"))
    own = replace(
        EMPTY,
        title=clean_text(data.get("model_name"), 200),
        description=plain_texts(data.get("notes"), data.get("modelDescription")),
        tags=tag_counts(data.get("tags")),
        sha256=_sha256_in(data.get("sha256")),
        **base_model_finding(data.get("base_model"), source, 0.9),
        **(strengths(tips.get("strength"), tips.get("strength_min"), tips.get("strength_max")) or strengths_in(notes)),
    )
    return merge([own, replace(EMPTY, **version_fields(version, as_dict(version.get("model")), source))])


def _connected_model_info(data: dict[str, Any]) -> ModelMetadata:
    """`X.cm-info.json` of Stability Matrix."""
    source = "Stability Matrix (.cm-info.json)"
    hashes = as_dict(data.get("Hashes"))
    ids = [str(data[key]) for key in ("ModelId", "VersionId") if isinstance(data.get(key), int) and data[key] < 2**53]
    description = plain_text(data.get("ModelDescription")) or plain_text(data.get("VersionDescription"))
    return replace(
        EMPTY,
        source_id=":".join(ids) or None,
        title=clean_text(data.get("ModelName"), 200),
        description=description,
        tags=tag_counts(data.get("Tags")),
        trigger_sets=trigger_sets(clean_list(data.get("TrainedWords")), source),
        sha256=_sha256_in(hashes.get("SHA256")),
        autov2=clean_text(hashes.get("AutoV2"), 10).lower() or None,
        **base_model_finding(data.get("BaseModel"), source, 0.9),
        **strengths_in(description),
    )


def _rgthree(data: dict[str, Any]) -> ModelMetadata:
    """`X.safetensors.rgthree-info.json`."""
    source = "rgthree (.rgthree-info.json)"
    words = [item.get("word") for item in dicts(data.get("trainedWords")) if item.get("civitai") or item.get("user")]
    examples = []
    for image in dicts(data.get("images")):
        prompt, tags = without_lora_tags(clean_text(image.get("positive"), 1500))
        if prompt:
            examples.append(ExamplePrompt(prompt, tags[0][1] if len(tags) == 1 else None))
    note = plain_text(data.get("userNote"))
    return replace(
        EMPTY,
        title=clean_text(data.get("name"), 200),
        description=note,
        tags=tag_counts(data.get("tags")),
        trigger_sets=trigger_sets(words, source),
        example_prompts=tuple(dict.fromkeys(examples))[:MAX_EXAMPLES],
        sha256=_sha256_in(data.get("sha256")),
        **base_model_finding(data.get("baseModel"), source, 0.9),
        **(strengths(None, data.get("strengthMin"), data.get("strengthMax")) or strengths_in(note)),
    )


def _sha256_in(value: Any) -> str | None:
    match = _SHA256.search(clean_text(value, 500).lower())
    return match[0] if match else None


JSON_FORMATS: dict[str, Callable[[dict[str, Any]], ModelMetadata]] = {
    ".json": _a1111,
    ".metadata.json": _lora_manager,
    ".rgthree-info.json": _rgthree,
    ".civitai.info": _civitai_info,
    ".cm-info.json": _connected_model_info,
}
"""Suffix after the model's name → reader. The first that has a fact counts: the user's notes come first."""

SUFFIXES = (*JSON_FORMATS, ".txt", ".sha256", *PREVIEWS)
_SUFFIX_SET = frozenset(SUFFIXES)


def find_sidecars(models: Sequence[str], names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return file name of a model → suffix → name of its sidecar among `names`, all of one folder.

    A sidecar has the model's name without or with its extension (`X.json`, `X.safetensors.json`); of both the first
    counts.
    """
    found: dict[str, dict[str, str]] = {model: {} for model in models}
    owners: dict[str, list[str]] = {}
    for model in models:
        owners.setdefault(model.rpartition(".")[0], []).append(model)
    for name in names:
        end = len(name)
        while (end := name.rfind(".", 1, end)) > 0:
            stem, suffix = name[:end], name[end:]
            if suffix in _SUFFIX_SET:
                if stem in found:
                    found[stem].setdefault(suffix, name)
                for model in owners.get(stem, ()):
                    found[model][suffix] = name
    return found


def read_sidecars(paths: Mapping[str, Path]) -> tuple[ModelMetadata, list[str]]:
    """Return the facts in sidecars (suffix → path) as one partial record, and the reasons why any were left out."""
    partials, problems = [], []
    for suffix in (suffix for suffix in SUFFIXES if suffix in paths):
        path = paths[suffix]
        if suffix in PREVIEWS:
            partials.append(replace(EMPTY, preview_path=clean_text(str(path), 4096)))
            continue
        try:
            partials.append(_read(suffix, path))
        except (OSError, ValueError) as error:
            problems.append(f"{path.name} is ignored: {error}")
    return merge(partials), problems


def _read(suffix: str, path: Path) -> ModelMetadata:
    data = read_capped(path)
    if suffix in JSON_FORMATS:
        parsed = parse_json(data)
        if not isinstance(parsed, dict):
            raise ValueError("not a JSON object")
        return JSON_FORMATS[suffix](parsed)
    text = data.decode("utf-8", "replace")
    if suffix == ".sha256":
        return replace(EMPTY, sha256=_sha256_in(text))
    note = plain_text(text)
    return replace(EMPTY, description=note, **strengths_in(note))
