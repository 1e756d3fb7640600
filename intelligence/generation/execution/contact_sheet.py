"""The contact sheet of a batch: one HTML file with thumbnails, settings and stars."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

from ...errors import StorageError
from ...learning import LearningEngine
from ...whole_files import write_whole
from ..picture_history import picture_record
from ..stages import Generation
from .job_store import MadePicture, SetAside

SHEET_FILE = "contact-sheet.html"

THUMBNAIL = 224
"""Longer side in pixels."""

EMBEDDED = 1000
"""Pictures up to which the thumbnails lie in the file; of more, the pictures themselves are shown."""

_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data: 'self' file:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 1rem; background: #fff; color: #222 }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem }}
figure {{ margin: 0; overflow-wrap: anywhere }}
img {{ max-width: 100%; height: auto; display: block }}
small {{ color: #555 }}
@media (prefers-color-scheme: dark) {{ body {{ background: #181818; color: #ddd }} small {{ color: #aaa }} }}
</style>
<h1>{title}</h1>
<main>
"""


def write_contact_sheet(
    folder: Path, pictures: Sequence[MadePicture], aside: Sequence[SetAside], learning: LearningEngine
) -> Path:
    """Write the sheet of a folder of pictures, and return its path. Raises StorageError."""
    path = folder / SHEET_FILE
    parts = [_HEAD.format(title=escape(f"{folder.resolve().name}: {len(pictures):,} pictures"))]
    parts += (_figure(folder, picture, len(pictures) <= EMBEDDED, learning) for picture in pictures)
    parts.append("</main>\n")
    parts += _set_aside(aside)
    try:
        write_whole(path, lambda file: file.write("".join(parts).encode("utf-8", "replace")))
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
    return path


def _figure(folder: Path, picture: MadePicture, embed: bool, learning: LearningEngine) -> str:
    path, address = folder / picture.file, quote(picture.file)
    source = (embed and _thumbnail(path)) or address
    lines = [f'<a href="{escape(address)}"><img src="{escape(source)}" alt="" loading="lazy"></a>', "<figcaption>"]
    record = picture_record(path)
    if record is not None:
        lines += _settings(Generation.from_dict(record), record.get("seed"))
    if stars := _stars(picture.image_id, learning):
        lines.append(f'<span title="{stars} of 5 stars">{"★" * stars}{"☆" * (5 - stars)}</span><br>')
    made = ", ".join(filter(None, (picture.worker, picture.device)))
    lines.append(f"<small>{escape(picture.file)}<br>{escape(made)}</small></figcaption>")
    return f"<figure>{''.join(lines)}</figure>\n"


def _settings(generation: Generation, seed: object) -> Iterator[str]:
    chosen, parameters = generation.plan.recommendations, generation.plan.parameters
    loras = ", ".join(f"{lora.lora_name} {lora.suggested_alpha:g}" for lora in generation.plan.loras)
    yield f"{escape(chosen.prompt_analysis.prompt)}<br>"
    settings = (
        f"seed {seed}, {parameters.num_steps} steps, cfg {parameters.guidance_scale:g}, {parameters.sampler_name} "
        f"{parameters.scheduler}, {parameters.width}×{parameters.height}"
    )
    yield f"<small>{escape(settings)}<br>{escape(loras or 'no LoRA')}</small><br>"


def _stars(image_id: str, learning: LearningEngine) -> int:
    found = learning.ratings(image_id) if image_id else []
    return found[-1].rating if found else 0


def _thumbnail(path: Path) -> str:
    """Return a picture, made small, as a data address; empty where it cannot be read."""
    from PIL import Image

    file = BytesIO()
    try:
        with Image.open(path, formats=("PNG",)) as image:
            small = image.convert("RGB")
            small.thumbnail((THUMBNAIL, THUMBNAIL))
            small.save(file, format="JPEG", quality=80)
    except (OSError, ValueError):
        return ""
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"


def _set_aside(aside: Sequence[SetAside]) -> Iterator[str]:
    if aside:
        yield "<h2>Set aside</h2>\n<ul>\n"
        yield from (f"<li>{escape(f'{row.number}: {row.error}')}</li>\n" for row in aside)
        yield "</ul>\n"
