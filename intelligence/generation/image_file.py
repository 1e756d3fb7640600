"""Pictures with their generation inside, as every reader finds it, and the same as JSON beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import InvalidInputError, StorageError
from ..given_files import is_file, read_capped
from ..models import ModelMetadata
from ..models.sanitize import parse_json
from ..parameters import a1111_name
from ..parameters.parameters import LATENT_UPSCALER, SecondPass
from ..pictures.a1111_text import UsedModel, a1111_text
from ..pictures.embedded_texts import OWN_RECORD, PARAMETERS, fits_jpeg, save_options
from ..pictures.name_tokens import filled
from ..pictures.picture_files import (
    check_destination,
    picture_format,
    shortened,
    write_in_safe_place,
)
from ..pictures.picture_info import HIRES_FACTOR, HIRES_SIZE
from ..whole_files import write_whole
from .generation_messages import GenerationMessage as Text
from .postprocess.steps import StepKind
from .stages import Generation

if TYPE_CHECKING:
    from PIL.Image import Image

A1111_LATENT = "Latent"
"""A1111's name of the upscaler that interpolates latents bilinearly."""

MODEL_SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf")

MAX_RECORD_BYTES = 32 * 1024 * 1024
"""Size of the largest JSON that is read beside a picture."""

LONGEST_CUT_PROMPT = 8000
"""Characters of each prompt in a JPEG that has no room for them whole."""

_CIVITAI_ID = re.compile(r"\d+:(\d+)")
"""Model and version, as the registry keeps them of downloads and of other managers' sidecars."""

OPTIONAL_IN_JPEG = (OWN_RECORD, "prompt", "workflow")
"""Texts that a JPEG without room for all does without, the least needed first: the record also lies beside it, and the
page restores the graph from `workflow` alone."""


def picture_name(pattern: str, generation: Generation, index: int | None, size: tuple[int, int]) -> str:
    """Return a file name with `%seed%`, `%model%`, `%sampler%`, `%scheduler%`, `%steps%`, `%cfg%`, `%loras%`,
    `%width%`, `%height%` and `%date:…%` filled in."""
    parameters, model = generation.plan_of(index).parameters, _base_model(generation)
    values = {
        "seed": "" if (seed := _seed(generation, index)) is None else seed,
        "model": model.name if model else "",
        "sampler": parameters.sampler_name,
        "scheduler": parameters.scheduler,
        "steps": parameters.num_steps,
        "cfg": f"{parameters.guidance_scale:g}",
        "loras": "+".join(lora.lora_name for lora in generation.plan.loras),
        "width": size[0],
        "height": size[1],
    }
    return filled(pattern, values)


class Metadata(StrEnum):
    """Extent of what is written besides a picture's pixels."""

    ALL = "all"
    """Inside the picture, and as JSON beside it."""
    INSIDE = "inside"
    NONE = "none"
    """Neither inside nor beside it."""


@dataclass(frozen=True)
class SavedPicture:
    path: Path
    record: Path | None = None
    """The JSON beside it; None: not written."""
    notes: tuple[str, ...] = ()
    """Sentences about what could not be kept."""


def a1111_parameters(generation: Generation, index: int | None = 0, size: tuple[int, int] | None = None) -> str:
    """Return the A1111 `parameters` text of image `index`, which CivitAI and metadata viewers read.

    None: one of the images; the seed is left out where they differ in it.

    Args:
        size: of the file in pixels (width, height); None: as planned.
    """
    recommendations = generation.plan.recommendations
    return _text(generation, index, size, recommendations.prompt, recommendations.negative_prompt)


def _text(
    generation: Generation, index: int | None, size: tuple[int, int] | None, prompt: str, negative_prompt: str
) -> str:
    parameters = generation.plan_of(index).parameters
    sampler, schedule = a1111_name(parameters.sampler_name, parameters.scheduler)
    width, height = size or (parameters.width, parameters.height)
    model, second = _base_model(generation), parameters.second_pass
    denoise = second.denoise if second else generation.denoise
    settings: dict[str, object] = {
        "Steps": parameters.num_steps,
        "Sampler": sampler,
        "Schedule type": schedule,
        "CFG scale": f"{parameters.guidance_scale:g}",
        "Seed": _seed(generation, index),
        "Size": f"{width}x{height}" if second is None else f"{second.width}x{second.height}",
        "Model hash": (model and model.hash) or None,
        "Model": model and model.name,
        "Denoising strength": None if denoise == 1 else f"{denoise:g}",
        "Clip skip": -parameters.clip_skip if parameters.clip_skip else None,
        **(_hires(second, width, height) if second else {}),
        "Own steps": " + ".join(step.name for step in generation.plan.postprocess if step.kind is StepKind.OWN) or None,
    }
    loras = [_used(lora.lora_metadata, lora.lora_name, lora.suggested_alpha) for lora in generation.plan.loras]
    loras += [_used(lora.file, lora.file.name, lora.strength) for lora in generation.other_loras]
    known = all(used.hash for used in loras) and (generation.base_model is None or model is None or bool(model.hash))
    note = "" if known else Text.HASH_UNKNOWN.value
    return a1111_text(prompt, negative_prompt, settings, model, loras, note)


def _hires(second: SecondPass, width: int, height: int) -> dict[str, object]:
    """A1111's settings of a second pass: the factor where it gives exactly this size, else the size itself."""
    factor = width / second.width
    plain = round(factor, 2) == factor and int(second.height * factor) == height
    upscaler = second.upscaler
    return {
        HIRES_FACTOR: f"{factor:g}" if plain else f"{factor:.4g}",
        HIRES_SIZE: None if plain else f"{width}x{height}",
        "Hires steps": second.steps,
        "Hires upscaler": A1111_LATENT if upscaler == LATENT_UPSCALER else PurePath(upscaler).stem,
    }


def _used(metadata: ModelMetadata, name: str, weight: float = 1.0) -> UsedModel:
    version = _CIVITAI_ID.fullmatch(metadata.source_id or "")
    digest = metadata.autov3 or metadata.autov2 or (metadata.sha256 or "")[:10]
    return UsedModel(name, digest, weight, int(version[1]) if version else None)


def _base_model(generation: Generation) -> UsedModel | None:
    name = Path(generation.base_model_id.replace("\\", "/")).name
    if not name:
        return None
    if name.lower().endswith(MODEL_SUFFIXES):
        name = name.rpartition(".")[0]
    file = generation.base_model
    if file is None:
        return UsedModel(name)
    # Of checkpoints A1111 and CivitAI write AutoV2.
    return replace(_used(file, name), hash=file.autov2 or (file.sha256 or "")[:10])


def image_record(generation: Generation, index: int | None = 0) -> dict[str, Any]:
    """Return the pack's own JSON of image `index`: the whole generation, and the image's id and seed.

    None: one of the images, which is rated by the generation's id; its seed is None where they differ in it.
    """
    return {
        **replace(generation, plan=generation.plan_of(index)).to_dict(),
        "image_id": generation.id if index is None else generation.image_ids[index],
        "image_index": index,
        "seed": _seed(generation, index),
    }


def _seed(generation: Generation, index: int | None) -> int | None:
    if index is not None:
        return generation.seeds[index]
    return generation.seeds[0] if len(set(generation.seeds)) == 1 else None


def save_image(
    path: str | Path,
    image: Image,
    generation: Generation,
    index: int | None = 0,
    *,
    comfy: Mapping[str, Any] | None = None,
    embed: bool = True,
    quality: int = 95,
) -> Path:
    """Write a picture like `save_picture`, and return its path alone; `embed` False: the pixels alone, and no JSON."""
    keep = Metadata.ALL if embed else Metadata.NONE
    return save_picture(path, image, generation, index, comfy=comfy, keep=keep, quality=quality).path


def save_picture(
    path: str | Path,
    image: Image,
    generation: Generation,
    index: int | None = 0,
    *,
    comfy: Mapping[str, Any] | None = None,
    keep: Metadata = Metadata.ALL,
    quality: int = 95,
) -> SavedPicture:
    """Write `image` with its metadata, and the generation as JSON beside it. Each appears whole or not at all.

    The JSON is `NAME.json`, or `NAME.png.json` where that holds anything but the record of this picture.

    Args:
        path: ends in .png, .webp, .jpg or .jpeg.
        comfy: ComfyUI's `prompt` and `workflow` (and other extra_pnginfo), as objects.
        keep: how much is written besides the pixels.
        quality: of JPEG and WebP, 1 … 100.

    Raises:
        InvalidInputError: another file type; or a name that no file can have, and where the picture lies instead.
        StorageError: it cannot be written; the message says where the picture lies instead.
    """
    path = Path(path)
    file_format = picture_format(path)
    if file_format == "JPEG":
        image = image.convert("RGB")
    own = {**image_record(generation, index), "file": path.name}
    texts: dict[str, str] = {}
    notes: list[str] = []
    if keep is not Metadata.NONE:
        texts, notes = _texts(path, generation, index, image.size, {**(comfy or {}), OWN_RECORD: own})

    def write(file: BinaryIO, file_format: str = file_format) -> list[str]:
        options: dict[str, Any] = {} if file_format == "PNG" else {"quality": quality}
        left_out: list[str] = []
        if texts:
            further = [name for name in texts if name not in (PARAMETERS, *OPTIONAL_IN_JPEG)]
            added, left_out = save_options(file_format, texts, (*further, *OPTIONAL_IN_JPEG))
            options |= added
        image.save(file, format=file_format, **options)
        return left_out

    kept: Path | None = None
    try:
        check_destination(path)
        if left_out := write_whole(path, write):
            notes.append(Text.LEFT_OUT_OF_JPEG.format(file=path.name, names=", ".join(left_out)))
        kept = path
        beside = write_record(path, own) if keep is Metadata.ALL else None
    except (OSError, ValueError) as error:
        kept = kept or write_in_safe_place(f"{path.stem}.png", lambda file: write(file, "PNG"))
        known = isinstance(error, (StorageError, InvalidInputError))
        why = str(error) if known else f"cannot write {path}: {_problem(error)}"
        kind = InvalidInputError if isinstance(error, InvalidInputError) else StorageError
        raise kind(f"{why}. The picture lies in {kept}" if kept else why) from error
    return SavedPicture(path, beside, tuple(notes))


def _texts(
    path: Path, generation: Generation, index: int | None, size: tuple[int, int], objects: Mapping[str, Any]
) -> tuple[dict[str, str], list[str]]:
    """Return the texts that go into a file, and notes on what could not be kept of them."""
    text, notes = a1111_parameters(generation, index, size), []
    if picture_format(path) == "JPEG" and not fits_jpeg(text):
        prompts = generation.plan.recommendations
        cut = (each[:LONGEST_CUT_PROMPT] for each in (prompts.prompt, prompts.negative_prompt))
        text = _text(generation, index, size, *cut)
        notes.append(Text.PROMPT_CUT.format(file=path.name))
    return {PARAMETERS: text, **{name: json.dumps(value) for name, value in objects.items()}}, notes


def _problem(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def write_record(path: Path, own: Mapping[str, Any]) -> Path:
    """Write the JSON of the picture `path` beside it, over nothing but its own earlier one. Raises OSError."""
    target = record_path(path, str(own.get("image_id", "")))
    text = json.dumps(own, ensure_ascii=False, indent=2)
    write_whole(target, lambda file: file.write(text.encode("utf-8", "surrogatepass")))
    return target


def complete_record(saved: SavedPicture, generation: Generation, index: int | None) -> None:
    """Write the JSON beside a picture anew, now that more is known, unless another has taken its place."""
    own = {**image_record(generation, index), "file": saved.path.name}
    there = own_record(saved.record) if saved.record else None
    if there and there.get("image_id") == own["image_id"]:
        write_record(saved.path, own)


def record_path(path: Path, image_id: str = "") -> Path:
    """Return the JSON beside a picture, there or yet to be written."""
    plain, full = record_places(path)
    own = own_record(plain)
    of_this = own is not None and (own.get("file") == path.name or own.get("image_id") == image_id)
    return plain if of_this or not plain.exists() else full


def record_places(path: Path) -> tuple[Path, Path]:
    """Return the two paths at which the JSON of a picture may lie."""
    full = path.with_name(f"{shortened(path.stem, len(path.suffix) + 5)}{path.suffix}.json")
    return path.with_suffix(".json"), full


def own_record(path: Path) -> dict[str, Any] | None:
    """Return the pack's record in a JSON file; None: it holds none."""
    if not is_file(path):
        return None  # neither is a pipe or a device
    try:
        data = parse_json(read_capped(path, MAX_RECORD_BYTES))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) and data.get("type") == Generation.__name__ else None
