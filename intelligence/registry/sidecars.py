"""Sidecars of other tools beside a model file: descriptions, trigger words, strengths, hashes, previews.

Every format becomes a partial record. A file that cannot be read is left out with a reason.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..given_files import read_capped
from ..models.metadata import EMPTY, ModelMetadata, merge
from ..models.sanitize import MAX_JSON_BYTES, any_text, clean_text, parse_json, plain_text
from . import sidecar_formats as formats

PICTURES = ("png", "jpg", "jpeg", "webp")
"""Extensions of previews that are shown. Never SVG or HTML: those run scripts where they are shown."""

OTHER_PREVIEWS = ("gif", "avif", "jxl", "mp4", "webm")
"""Extensions of previews that are only told of: none is decoded."""

PREVIEWS = tuple(
    f"{middle}.{extension}"
    for extensions in (PICTURES, OTHER_PREVIEWS)
    for middle in (".preview", "", ".thumb")
    for extension in extensions
)

JSON_FORMATS: dict[str, formats.Reader] = {
    ".json": formats.any_json,
    ".swarm.json": formats.swarm,
    ".metadata.json": formats.lora_manager,
    ".rgthree-info.json": formats.rgthree,
    ".civitai.info": formats.civitai_info,
    ".api_info.json": formats.api_info,
    ".cm-info.json": formats.connected_model_info,
    ".cminfo.json": formats.connected_model_info,
}
"""Suffix after the model's name → reader. The first that has a fact counts: the user's notes come first."""

TEXTS = (".trigger.txt", ".triggers.txt", ".txt", ".description.txt")

SUFFIXES = (*JSON_FORMATS, *TEXTS, ".sha256", *PREVIEWS)
_SUFFIX_SET = frozenset(SUFFIXES)


def find_sidecars(models: Sequence[str], names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return file name of a model → suffix → name of its sidecar among `names`, all of one folder.

    A sidecar has the model's name without or with its extension (`X.json`, `X.safetensors.json`), in upper or lower
    case and in any Unicode form; of several the one without extension counts, then the one that is spelt alike.
    """
    owners: dict[str, list[tuple[str, str]]] = {}
    for model in models:
        folded, stem = _folded(model), model.rpartition(".")[0]
        owners.setdefault(folded, []).append((model, model))
        owners.setdefault(folded.rpartition(".")[0], []).append((model, stem))
    found: dict[str, dict[str, tuple[bool, bool, str]]] = {model: {} for model in models}
    for name in names:
        folded = _folded(name)
        end = len(folded)
        while (end := folded.rfind(".", 1, end)) > 0:
            suffix = folded[end:]
            if suffix in _SUFFIX_SET:
                for model, spelt in owners.get(folded[:end], ()):
                    rank = (spelt is model, not name.startswith(spelt), name)
                    found[model][suffix] = min(found[model].get(suffix, rank), rank)
    return {model: {suffix: name for suffix, (*_, name) in sidecars.items()} for model, sidecars in found.items()}


def _folded(name: str) -> str:
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def read_sidecars(model: str, paths: Mapping[str, Path]) -> tuple[ModelMetadata, list[str]]:
    """Return the facts in sidecars (suffix → path) as one partial record, and the reasons why any were left out.

    Args:
        model: file name of the model that they belong to.
    """
    partials, problems = [], []
    for suffix in (suffix for suffix in SUFFIXES if suffix in paths):
        path = paths[suffix]
        if suffix in PREVIEWS:
            partials.append(replace(EMPTY, preview_path=clean_text(str(path), 4096)))
            continue
        try:
            partials.append(_read(suffix, path, model))
        except (OSError, ValueError) as error:
            problems.append(f"{path.name} is ignored: {error}")
    return merge(partials), problems


def _read(suffix: str, path: Path, model: str) -> ModelMetadata:
    text = any_text(read_capped(path, MAX_JSON_BYTES))
    if suffix in JSON_FORMATS:
        parsed = parse_json(text)
        if not isinstance(parsed, dict):
            raise ValueError("not a JSON object")
        return JSON_FORMATS[suffix](parsed, model)
    if suffix == ".sha256":
        return replace(EMPTY, sha256=formats.sha256_in(text))
    return formats.note(plain_text(text), f"note ({suffix})", all_triggers="trigger" in suffix)
