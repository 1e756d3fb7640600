"""Upscale models, read with spandrel: their size and work, and pictures that they enlarge tile by tile."""

from __future__ import annotations

import pickle
import weakref
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import MissingDependencyError, UnsupportedModelError, install_command
from ...memory.upscaling import OVERLAP, UpscaleCost, tile_starts
from ...units import BYTES_PER_GIB, PIXELS_PER_MEGAPIXEL
from ..problem_messages import ProblemMessage
from ..standalone import quiet

if TYPE_CHECKING:
    from torch import Tensor

MEASURED_SIDE = 160
"""Pixels to a side of the tile whose tensors are recorded: a multiple of the usual windows, larger than the 64 of
training, for which some networks hold their masks ready, and a fortieth of the work of a picture of 1024²."""


def load(path: Path) -> Any:
    """Return the spandrel descriptor of the upscale model in a .safetensors or .pth file, on the CPU, in float32.

    Of a pickle only tensors are read. Raises MissingDependencyError, UnsupportedModelError.
    """
    return _loaded(str(path), path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _loaded(path: str, stamp: int) -> Any:
    return _read(path)


def _read(path: str) -> Any:
    require_spandrel(f"the upscale model {Path(path).name}")
    import spandrel
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.endswith(".safetensors"):
            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        model = spandrel.ModelLoader().load_from_state_dict(spandrel.canonicalize_state_dict(weights))
    except (spandrel.UnsupportedModelError, SafetensorError, pickle.UnpicklingError, RuntimeError, KeyError) as error:
        raise UnsupportedModelError(ProblemMessage.NO_UPSCALER.format(name=Path(path).name)) from error
    if not isinstance(model, spandrel.ImageModelDescriptor) or (model.input_channels, model.output_channels) != (3, 3):
        raise UnsupportedModelError(ProblemMessage.NO_UPSCALER.format(name=Path(path).name))
    model.model.float().eval()
    return model


def require_spandrel(what: str) -> None:
    """Import spandrel; `what` needs it. Raises MissingDependencyError with the command that installs it."""
    try:
        with quiet():
            import spandrel  # noqa: F401
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that was built for another torch
        remedy = install_command("upscaling")
        raise MissingDependencyError(f"{what} needs spandrel and torchvision ({error}): {remedy}") from error


@lru_cache(maxsize=8)
def _cost(path: str, stamp: int, device: str) -> UpscaleCost:
    return cost_of(_read(path), device)


def cost(path: Path, device: str) -> UpscaleCost:
    """Return size and work of the upscale model in a file on a kind of device, found once. Raises like `load`."""
    return _cost(str(path), path.stat().st_mtime_ns, device)


def cost_of(model: Any, device: str) -> UpscaleCost:
    """Return size and work of a spandrel descriptor on a kind of device: one small tile goes through its network on the
    CPU, and its tensors are recorded.

    Beside them convolutions copy what they read and write into layouts of their own, see `_copied`.
    """
    import torch

    weights = sum(each.nbytes for each in (*model.model.parameters(), *model.model.buffers()))
    peak, flop = _recorded(model.model, torch.zeros(1, 3, MEASURED_SIDE, MEASURED_SIDE), device)
    pixels = MEASURED_SIDE**2
    tflop = flop / pixels * PIXELS_PER_MEGAPIXEL / 1e12
    return UpscaleCost(model.scale, weights / BYTES_PER_GIB, peak / pixels, tflop)


def _recorded(network: Any, tile: Tensor, device: str) -> tuple[int, int]:
    """Return the peak of the tensors in bytes, and the FLOP, of one tile."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import flop_registry

    live: dict[int, int] = {}
    peak = flop = 0
    weights = (each.untyped_storage() for each in (*network.parameters(), *network.buffers()))
    kept = {each._cdata: each for each in weights}  # held, lest what the network makes takes the place of one

    def add(tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in live and storage._cdata not in kept:
            live[storage._cdata] = storage.nbytes()
            weakref.finalize(storage, live.pop, storage._cdata, None)

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal peak, flop
            out = func(*args, **(kwargs or {}))
            for leaf in tree_leaves(out):
                if isinstance(leaf, torch.Tensor):
                    add(leaf)
            copied = 0
            if func._overloadpacket is torch.ops.aten.convolution:
                copied = _copied(args[0], args[1], out, device)
            peak = max(peak, sum(live.values()) + copied)
            if func._overloadpacket in flop_registry:
                flop += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
            return out

    add(tile)
    with torch.no_grad(), Recorder():
        network(tile)
    return peak, flop


BLOCK = 16
"""Channels that lie together in oneDNN's layout with AVX-512."""


def _copied(given: Tensor, weight: Tensor, out: Tensor, device: str) -> int:
    """Return the bytes that a convolution takes beside its tensors.

    On a CPU, copies of all three in oneDNN's layout, before the plain result is there, and none for kernels of one
    pixel (measured); on a card copies of all three, as for the footprints of other networks.
    """
    if device != "cpu":
        return given.nbytes + weight.nbytes + out.nbytes
    if tuple(weight.shape[2:]) == (1, 1):
        return 0
    blocked = (each.nbytes // each.shape[1] * (-(-each.shape[1] // BLOCK) * BLOCK) for each in (given, out))
    return sum(blocked) + weight.nbytes - out.nbytes


def enlarged(model: Any, picture: Tensor, tile: int, device: Any = "cpu") -> Tensor:
    """Return a picture (3, height, width), 0 … 1, enlarged by a spandrel descriptor in float32, on the CPU.

    Args:
        tile: pixels to a side of what goes through the model at a time; overlapping tiles are blended.
        device: where the model computes; its weights are back on the CPU afterwards.
    """
    import torch

    scale, (_, height, width) = model.scale, picture.shape
    total, weight = torch.zeros(3, height * scale, width * scale), torch.zeros(1, height * scale, width * scale)
    model.to(device)
    try:
        for top in tile_starts(height, tile):
            for left in tile_starts(width, tile):
                part = picture[None, :, top : top + tile, left : left + tile].to(device, torch.float32)
                with torch.no_grad():
                    made = model(part)[0].to("cpu", torch.float32)
                rows, columns = (
                    _ramp(side, side_in < whole)
                    for side, side_in, whole in (
                        (made.shape[1], part.shape[2], height),
                        (made.shape[2], part.shape[3], width),
                    )
                )
                share = rows[:, None] * columns[None, :]
                place = (
                    slice(None),
                    *(
                        slice(start * scale, start * scale + side)
                        for start, side in ((top, made.shape[1]), (left, made.shape[2]))
                    ),
                )
                total[place] += made * share
                weight[place] += share
    finally:
        model.to("cpu")
    return (total / weight).clamp(0, 1)


def _ramp(length: int, tiled: bool) -> Tensor:
    """Shares of a tile's rows or columns: rising over the overlap, so that tiles blend."""
    import torch

    if not tiled:
        return torch.ones(length)
    distance = torch.arange(1, length + 1, dtype=torch.float32)
    return torch.minimum(distance, distance.flip(0)).clamp(max=OVERLAP)
