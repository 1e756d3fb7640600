"""Image files with their generation inside: an A1111 `parameters` text, ComfyUI's own entries, our JSON, and XMP.

Formats of the entries: facts of A1111 (`Steps: …` last line; values with `,`, `:` or a newline quoted as JSON), of
ComfyUI (PNG text `prompt` and `workflow`; EXIF 0x0110 and 0x010F elsewhere) and IPTC (DigitalSourceType).
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError, StorageError
from ..lora import LoRARecommendation
from ..parameters import a1111_name
from .stages import Generation

if TYPE_CHECKING:
    from PIL.Image import Image

JSON_KEY = "intelligent_generation"
FORMATS = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
MAX_EXIF_BYTES = 65_533

_EXIF_MAKE, _EXIF_MODEL, _EXIF_IFD, _EXIF_USER_COMMENT = 0x010F, 0x0110, 0x8769, 0x9286
_TAG_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    "</rdf:RDF></x:xmpmeta>"
)


def a1111_parameters(generation: Generation, index: int | None = 0) -> str:
    """Return the A1111 `parameters` text of image `index`, which CivitAI and metadata viewers read.

    None: one of the images; the seed is left out where they differ in it.
    """
    recommendations, parameters = generation.plan.recommendations, generation.plan_of(index).parameters
    sampler, schedule = a1111_name(parameters.sampler_name, parameters.scheduler)
    known = ((lora.lora_name, lora.lora_metadata) for lora in generation.plan.loras)
    hashes = {name: value for name, metadata in known if (value := metadata.autov3 or metadata.autov2)}
    fields: dict[str, object] = {
        "Steps": parameters.num_steps,
        "Sampler": sampler,
        "Schedule type": schedule,
        "CFG scale": f"{parameters.guidance_scale:g}",
        "Seed": _seed(generation, index),
        "Size": f"{parameters.width}x{parameters.height}",
        "Model": Path(generation.base_model_id).stem if generation.base_model_id else None,
        "Denoising strength": f"{generation.denoise:g}" if generation.denoise < 1 else None,
        "Clip skip": -parameters.clip_skip if parameters.clip_skip else None,
        "Lora hashes": ", ".join(f"{name}: {value}" for name, value in hashes.items()) or None,
        "Hashes": json.dumps({f"lora:{name}": value for name, value in hashes.items()}) if hashes else None,
    }
    tags = "".join(f" {tag}" for lora in generation.plan.loras if (tag := _lora_tag(lora)))
    lines = [recommendations.prompt + tags]
    if recommendations.negative_prompt:
        lines.append(f"Negative prompt: {recommendations.negative_prompt}")
    given = {name: str(value) for name, value in fields.items() if value is not None}
    lines.append(", ".join(f"{name}: {text if name == 'Hashes' else _quoted(text)}" for name, text in given.items()))
    return "\n".join(lines)


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
    """Write `image` with its metadata, and the generation as JSON beside it. Both appear whole or not at all.

    Args:
        path: ends in .png, .webp, .jpg or .jpeg.
        comfy: ComfyUI's `prompt` and `workflow` (and other extra_pnginfo), as objects.
        embed: False writes the image without any metadata (the JSON is written all the same).
        quality: of JPEG and WebP, 1 … 100.

    Raises:
        InvalidInputError: another file type. StorageError: the folder cannot be written.
    """
    path = Path(path)
    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise InvalidInputError(f"cannot save as {path.name!r}: use one of {', '.join(FORMATS)}")
    entries = {name: json.dumps(value) for name, value in (comfy or {}).items()}
    options: dict[str, Any] = {} if file_format == "PNG" else {"quality": quality}
    if embed and file_format == "PNG":
        options["pnginfo"] = _png_entries(generation, index, entries)
    elif embed:
        options["exif"] = _exif(generation, index, entries, bounded=file_format == "JPEG")
        options["xmp"] = _XMP.encode()
    if file_format == "JPEG":
        image = image.convert("RGB")
    record = json.dumps(image_record(generation, index), ensure_ascii=False, indent=2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(path, lambda temporary: image.save(temporary, format=file_format, **options))
        _write_whole(path.with_suffix(".json"), lambda temporary: temporary.write_text(record, encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _png_entries(generation: Generation, index: int | None, comfy: Mapping[str, str]) -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("parameters", a1111_parameters(generation, index))
    for name, text in comfy.items():
        info.add_text(name, text)
    info.add_text(JSON_KEY, json.dumps(image_record(generation, index)))
    info.add_itxt("XML:com.adobe.xmp", _XMP)
    return info


def _exif(generation: Generation, index: int | None, comfy: Mapping[str, str], *, bounded: bool) -> bytes:
    """Return EXIF with the A1111 text in UserComment and ComfyUI's entries, as far as they fit into a JPEG segment."""
    from PIL.Image import Exif

    comment = b"UNICODE\0" + a1111_parameters(generation, index).encode("utf-16-be")
    tags = {_EXIF_MODEL - position: f"{name}:{text}" for position, (name, text) in enumerate(comfy.items())}
    for entries, text in ((tags, comment), ({}, comment), ({}, b"")):
        exif = Exif()
        exif.update(entries)
        if text:
            exif.get_ifd(_EXIF_IFD)[_EXIF_USER_COMMENT] = text
        data = exif.tobytes()
        if not bounded or len(data) <= MAX_EXIF_BYTES:
            break
    return data


def _write_whole(path: Path, write: Any) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(mark in value for mark in ',:\n"') else value


def _lora_tag(lora: LoRARecommendation) -> str | None:
    """Return the tag as CivitAI reads it, which allows no spaces in names and no negative strengths."""
    if _TAG_NAME.fullmatch(lora.lora_name) and lora.suggested_alpha >= 0:
        return f"<lora:{lora.lora_name}:{lora.suggested_alpha:g}>"
    return None
