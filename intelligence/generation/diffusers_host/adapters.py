"""Loads a plan's LoRAs into a diffusers pipeline, each once, and removes them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import ModelNotFoundError, UnsupportedModelError
from ...lora import LoRARecommendation
from ...models.headers import read_header
from ..standalone import loading

_TEXT_ENCODERS = ("text_encoder", "text_encoder_2")


def apply_loras(pipe: Any, loras: Sequence[LoRARecommendation]) -> None:
    """Make exactly `loras` active on `pipe`, each at its strengths. The same LoRA named twice counts twice.

    An adapter that is already loaded from the same, unchanged file is kept.

    Raises:
        ModelNotFoundError: a LoRA's file is not there.
        UnsupportedModelError: a LoRA's file is corrupt or does not fit this model. The pipeline is left without LoRAs.
    """
    wanted: dict[str, LoRARecommendation] = {}
    strengths: dict[str, tuple[float, float]] = {}
    for lora in loras:
        name = adapter_name(lora)
        unet, text = strengths.get(name, (0.0, 0.0))
        wanted[name], strengths[name] = lora, (unet + lora.suggested_alpha, text + lora.alpha_clip)

    loaded = _loaded(pipe)
    with loading():
        if not wanted:
            if loaded:
                pipe.unload_lora_weights()
            return
        if stale := sorted(loaded - set(wanted)):
            pipe.delete_adapters(stale)
        for name, lora in wanted.items():
            if name not in loaded:
                _load(pipe, name, lora)
        encoders = [part for part in _TEXT_ENCODERS if getattr(pipe, part, None) is not None]
        weights = [{"unet": unet, **dict.fromkeys(encoders, text)} for unet, text in strengths.values()]
        pipe.set_adapters(list(wanted), weights)


def needs_loading(pipe: Any, loras: Sequence[LoRARecommendation]) -> bool:
    """Return whether `apply_loras` would read a file. Raises ModelNotFoundError."""
    return not {adapter_name(lora) for lora in loras} <= _loaded(pipe)


def adapter_name(lora: LoRARecommendation) -> str:
    """Return a name that peft accepts and that changes with the file. Raises ModelNotFoundError without a file."""
    path = Path(lora.lora_metadata.local_path)
    if not lora.lora_metadata.local_path or not path.is_file():
        where = lora.lora_metadata.local_path or "no path is known for it"
        raise ModelNotFoundError(f"LoRA {lora.lora_name!r} is not on this machine ({where}); scan the library again")
    state = path.stat()
    mark = hashlib.sha256(f"{path.absolute()}|{state.st_size}|{state.st_mtime_ns}".encode()).hexdigest()[:12]
    return f"{re.sub(r'[^A-Za-z0-9]+', '_', lora.lora_name)}_{mark}"


def _loaded(pipe: Any) -> set[str]:
    return {name for names in pipe.get_list_adapters().values() for name in names}


def _load(pipe: Any, name: str, lora: LoRARecommendation) -> None:
    path = Path(lora.lora_metadata.local_path)
    try:
        read_header(path)
        pipe.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=name, local_files_only=True)
        if name not in _loaded(pipe):
            raise UnsupportedModelError("it has no layer that this model has")
    except (ValueError, RuntimeError, KeyError, IndexError, AttributeError, TypeError, OSError) as error:
        pipe.unload_lora_weights()
        lines = (str(error).strip() or type(error).__name__).split("\n")
        detail = " ".join(line.strip() for line in lines[:2])
        raise UnsupportedModelError(
            f"LoRA {lora.lora_name!r} ({path}) cannot be applied to this model: {detail}"
        ) from error
