"""Names by which LoRAs reach the weights of a loaded MODEL and CLIP, from ComfyUI's own key maps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import comfy.lora
import comfy.lora_convert
import torch

from ...intelligence.models.headers import Shapes
from ...intelligence.models.lora_fit import LoRAFit, ModuleReader, Target

MAX_KEPT = 4
"""Models with text encoders whose measured LoRAs are remembered."""


class Targets(NamedTuple):
    """Weights of a network by the names that LoRAs have for them."""

    by_name: dict[str, Target]
    mark: str
    """A text that networks of one configuration share."""


_NETWORKS: WeakKeyDictionary[Any, Targets] = WeakKeyDictionary()
"""Inner model or text encoder → its targets: collecting them takes up to a third of a second."""

_FITS: dict[tuple[str, str], LoRAFit] = {}


def lora_fit(model: Any, clip: Any = None) -> LoRAFit:
    """Return what measures LoRAs against a loaded MODEL, and against the CLIP where one is connected."""
    unet = targets(model.model)
    text = targets(clip.cond_stage_model, text=True) if clip is not None else Targets({}, "")
    marks = (unet.mark, text.mark)
    if (known := _FITS.pop(marks, None)) is None:
        names = {**unet.by_name, **text.by_name}
        known = LoRAFit(names, "-".join(marks), has_text=clip is not None, reader=_READER)
    _FITS[marks] = known
    for oldest in list(_FITS)[:-MAX_KEPT]:
        del _FITS[oldest]
    return known


def targets(network: Any, *, text: bool = False) -> Targets:
    """Return the weights of ComfyUI's inner model, or of a CLIP's text encoders, by the names of LoRAs."""
    known = _NETWORKS.get(network)
    if known is None:
        keys = comfy.lora.model_lora_keys_clip if text else comfy.lora.model_lora_keys_unet
        parameters = dict(network.named_parameters())  # a quantized weight is packed in a state dict
        shapes = {key: tuple(parameters.get(key, weight).shape) for key, weight in network.state_dict().items()}
        known = _NETWORKS[network] = _targets(keys(network, {}), shapes, text)
    return known


def _targets(names: Mapping[str, Any], shapes: Shapes, text: bool) -> Targets:
    by_name = {}
    for name, place in names.items():
        key, *offset = (place,) if isinstance(place, str) else place
        if key in shapes:
            part = offset[0] if offset else None
            bias = shapes.get(f"{key.removesuffix('.weight')}.bias") if part is None else None
            by_name[name] = Target(key if part is None else f"{key}{part}", _narrowed(shapes[key], part), bias, text)
    lines = sorted(f"{name}\0{target.shape}" for name, target in by_name.items())
    return Targets(by_name, hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest())


def _narrowed(shape: tuple[int, ...], part: tuple[int, int, int] | None) -> tuple[int, ...]:
    """The shape of the part (axis, start, length) of a weight that several modules share."""
    if part is None:
        return shape
    axis, _, length = part
    return (*shape[:axis], length, *shape[axis + 1 :])


class _Shaped(NamedTuple):
    shape: tuple[int, ...]


def converted(shapes: Shapes) -> Shapes:
    """Return the tensors of a LoRA under the names that ComfyUI's own conversion gives them."""
    try:
        found = comfy.lora_convert.convert_lora({key: _Shaped(shape) for key, shape in shapes.items()})
    except (AttributeError, TypeError):
        # A conversion that computes: tensors of the meta device take thrice the time, and no memory.
        found = comfy.lora_convert.convert_lora(
            {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
        )
    return {key: tuple(tensor.shape) for key, tensor in found.items()}


_READER = ModuleReader(converted)
