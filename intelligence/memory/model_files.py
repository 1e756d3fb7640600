"""Files of one model in several formats: which of them fits a device, and which samples fastest there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..errors import UnsupportedModelError
from ..models.headers import tensor_bytes
from ..records import Reason, Record, Source
from ..units import BYTES_PER_GIB, format_memory
from .memory_messages import MemoryMessage
from .plan import MemoryPlan

FORMAT_WORDS = re.compile(
    r"(?:^|[-_. ])(?:bf16|fp?16|fp?32|fp?8|fp4|nf4|mxfp8|nvfp4|int[48]|i?q\d\w*|e4m3fn?|e5m2|scaled|mixed|convrot|"
    r"gguf|pruned|ema|emaonly|[sml])(?=$|[-_. ])",
    re.IGNORECASE,
)
"""Words of a file's name that tell its format and nothing else."""

OTHER_STAGES = ("first_stage_model.", "vae.", "cond_stage_model.", "conditioner.", "text_encoder", "clip")
"""Beginnings of the tensors in a checkpoint that belong to its VAE and text encoders."""


class WeightFormat(NamedTuple):
    """Numbers that a file keeps its weights in."""

    title: str
    needs: str = ""
    """Ability of the device without which these numbers are converted for every forward; see `Resources.multiplies`."""
    speedup: float = 1.0
    """Speed where the device multiplies them, over that of converted ones."""
    lora_slowdown: float = 1.0
    """Time with LoRAs over that without."""


FORMATS = {
    "F32": WeightFormat("fp32"),
    "BF16": WeightFormat("bf16"),
    "F16": WeightFormat("fp16"),
    "F8_E4M3": WeightFormat("fp8"),
    "F8_E5M2": WeightFormat("fp8"),
    "I8": WeightFormat("int8", "int8", speedup=1.92, lora_slowdown=2.0),
    "U8": WeightFormat("4 bit"),
    "GGUF": WeightFormat("GGUF"),
}
"""By safetensors' name of the numbers that hold the most bytes. int8 beside fp8 on an RTX 3090, and with a LoRA, as
Comfy Org's model notes of November 2026 give them; no other published figure was found, and none is assumed."""

EXACTEST_FIRST = ("F32", "BF16", "F16", "I8", "F8_E4M3", "F8_E5M2", "U8", "GGUF")
"""The nearest to exact first."""


@dataclass(frozen=True)
class ModelFile(Record):
    """A file with a model's weights."""

    path: str
    numbers: str
    """Key of `FORMATS`."""
    weights_gb: float
    """Of the denoising network, GiB."""

    @property
    def name(self) -> str:
        """File name."""
        return Path(self.path).name


def model_name(file_name: str) -> str:
    """Return the file name without ending and words of format, in lower case: alike for all files of one model."""
    stem = re.sub(r"\.(?:safetensors|sft|gguf|ckpt|pt)$", "", file_name, flags=re.IGNORECASE)
    return FORMAT_WORDS.sub("", stem).strip("-_. ").casefold()


def read_model_file(path: Path) -> ModelFile | None:
    """Return the weights of a file by its header, or by its size for GGUF; None where it cannot be read."""
    try:
        if path.suffix.lower() == ".gguf":
            return ModelFile(str(path), "GGUF", path.stat().st_size / BYTES_PER_GIB)
        sizes = tensor_bytes(path, skip=OTHER_STAGES)
    except (OSError, UnsupportedModelError):
        return None
    numbers = max(sizes, key=lambda name: sizes[name], default="")
    return ModelFile(str(path), numbers, sum(sizes.values()) / BYTES_PER_GIB) if numbers in FORMATS else None


class Forecast(NamedTuple):
    """A file with its plan on a device."""

    file: ModelFile
    plan: MemoryPlan
    seconds: float
    """Time of the job; comparable with that of other forecasts, not to be shown."""


def forecast(
    files: Iterable[ModelFile],
    plan: Callable[[ModelFile], MemoryPlan],
    multiplies: Sequence[str],
    *,
    with_loras: bool,
) -> list[Forecast]:
    """Return the files with their plans, best first: those that fit, then by time, then by how near to exact their
    numbers are.

    Args:
        plan: plans the job with the weights of a file on the device while they are used, so that those that do not
            stay there do not fit.
        multiplies: see `Resources.multiplies`.
    """
    found = []
    for file in files:
        made, form = plan(file), FORMATS[file.numbers]
        seconds = made.seconds or 1.0
        if not made.speed_learned:
            seconds /= form.speedup if form.needs and form.needs in multiplies else 1.0
            seconds *= form.lora_slowdown if with_loras else 1.0
        found.append(Forecast(file, made, seconds))
    return sorted(found, key=lambda each: (not each.plan.fits, each.seconds, _inexactness(each.file)))


def file_reason(found: Sequence[Forecast], current: str) -> Reason | None:
    """Return the sentence about the best file beside the loaded one; None where there is one file only.

    `current`: path of the loaded file.
    """
    if len(found) < 2:
        return None
    best = found[0]
    loaded = next((each for each in found if Path(each.file.path) == Path(current)), None)
    if loaded is None:
        return None
    if loaded is best or not _better(best, loaded):
        return Reason.of("file", Source.MODEL, MemoryMessage.BEST_FILE, value=loaded.file.name, count=len(found))
    message = MemoryMessage.FASTER_FILE if best.plan.fits == loaded.plan.fits else MemoryMessage.SMALLER_FILE
    return Reason.of(
        "file",
        Source.MODEL,
        message,
        value=best.file.name,
        file=best.file.name,
        format=FORMATS[best.file.numbers].title,
        size=format_memory(best.file.weights_gb),
    )


def _better(best: Forecast, loaded: Forecast) -> bool:
    return best.plan.fits is not loaded.plan.fits or best.seconds < loaded.seconds


def _inexactness(file: ModelFile) -> tuple[int, float]:
    return EXACTEST_FIRST.index(file.numbers), -file.weights_gb
