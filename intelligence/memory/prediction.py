"""Memory of each stage of a job, and its time at the job's rates, by how it is run. Pure; sizes are GiB."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from ..config import OffloadStrategy
from ..units import BYTES_PER_GIB, BYTES_PER_MIB, MIB_PER_GIB
from .footprints import Footprint
from .job import Job, decode_slowdown
from .memory_request import BYTES_PER_NUMBER

LORA_COPIES = 3
"""float32 tensors of the size of the layer that is being patched: its copy, the LoRA's product and that times its
strength, as comfy/lora.py computes. ComfyUI#1947 reads 50 MiB for each, at the largest Linear layer of SDXL."""

STREAMED_LEAVES = 2
"""Modules on the device while weights stream: the one that computes and the one that comes next."""

STREAM_HIDDEN = 0.4
"""Share of the shorter of computing and streaming that goes on at the same time. Most weights sit where little is
computed: with one module fetched ahead, by size and work of SDXL's 1050, the sum of the longer of each pair is longer
than the computing by 0.29 s at 10 TFLOP/s, 0.35 at 40 and 0.43 at 150, of 0.48 s of streaming."""
UPSCALE = "upscale"
"""Stage in which an upscale model enlarges a picture."""
PICTURE_BYTES = 12
"""Of a pixel in float32: ComfyUI keeps the picture that it enlarges on the device as a whole."""

SLICING_SLOWDOWN = 1.1
"""Attention one head at a time (diffusers' guide: about 10 % slower)."""


DIFFUSERS_OVERLAP = 0.25
"""AutoencoderKL's `tile_overlap_factor`."""
COMFYUI_OVERLAP = 64
"""Pixels by which VAEDecodeTiled's tiles overlap; a quarter of a tile smaller than 256."""
COMFYUI_SHAPES = ((1.0, 1.0), (0.5, 2.0), (2.0, 0.5))
"""Sides of its tiles: it decodes in three shapes of the same area and takes their mean."""


MIOPEN = {"unet": 1.08, "vae": 3600 / 2200}
"""Activations on AMD's cards over those with cuDNN, which the tables are for. From InvokeAI 6.14.2: bytes of a decoded
pixel, and of a transformer's token at three widths, of which this is the largest."""


class WeightFormat(NamedTuple):
    """Format of the UNet's weights on the device."""

    everything: float = 1.0
    """Share of its bytes that is left of every weight."""
    matrices: float = 1.0
    """Share that is left of the matrices of Linear layers, with the scales for groups of numbers."""
    row_bytes: int = 0
    """Scales of each output feature of a Linear layer."""
    traffic: float = 0.0
    """Bytes moved for each parameter and forward beside reading what is kept, to get weights to compute with."""
    streams: bool = True
    """Modules can be fetched one by one."""
    gaps: float = 0.0
    """Memory that the allocator leaves free between copies of weights and activations, in shares of the activations."""


FINEST_FIRST: dict[str, WeightFormat] = {
    "float16": WeightFormat(),
    "int8": WeightFormat(matrices=0.5, row_bytes=5, traffic=4.0, streams=False, gaps=0.25),
    "float8": WeightFormat(everything=0.5, traffic=6.0),
    "nf4": WeightFormat(matrices=0.28125, traffic=4.0, streams=False, gaps=0.25),
}
"""By how little a format changes the picture; rms of a Linear layer's output: int8 0.4 %, float8 2.6 %, nf4 9 %.

int8 has a float32 scale and a zero point of a byte for each row [torchao's Int8Tensor], nf4 ½ byte a number and a
float32 scale for 64 of them. float8 is cast in place and back (2 + 2 + 1 + 1); of the others a copy is written and
read (2 + 2). What streams is on the device for a moment only, so they would save nothing there, and the scales of nf4
would not follow diffusers' group offloading. The gaps around the copies were simulated: up to 0.19 at 1536²."""


class Demand(NamedTuple):
    """Memory of a stage on the device, GiB, with weights and the driver's context."""

    peak_gb: float
    """Peak of torch's own counter of allocated bytes, plus the context."""
    needed_gb: float
    """Least that must be free."""
    reserved_gb: float
    """Reserved by torch where nothing limits it."""


@dataclass(frozen=True)
class Placement:
    """Place and format of the weights, shared by all stages of a job."""

    strategy: OffloadStrategy
    weight_dtype: str = "float16"

    @property
    def format(self) -> WeightFormat:
        return FINEST_FIRST[self.weight_dtype]

    @property
    def possible(self) -> bool:
        """Tell whether this strategy works with this format."""
        return self.format.streams or self.strategy is not OffloadStrategy.SEQUENTIAL

    def weights(self, job: Job) -> dict[str, float]:
        """Return the weights of each stage as they lie on the device or in RAM."""
        kept = self.format
        matrices = job.footprints.linear / job.footprints.weights["unet"]
        share = kept.everything - (1 - kept.matrices) * matrices
        scales = kept.row_bytes * job.footprints.linear_rows / BYTES_PER_GIB
        return {**job.weights, "unet": job.weights["unet"] * share + scales + job.lora_gb}

    def resident(self, job: Job, stage: str, vae_dtype: str = "float16") -> float:
        """Return the weights on the device while `stage` runs."""
        stage = "unet" if stage == "lora" else stage
        weights = self.weights(job)
        largest = job.footprints.largest[stage] / MIB_PER_GIB
        if job.pages_weights:
            return min(largest, weights[stage])
        cast = self._copy(job) if stage == "unet" else 0.0
        upcast = stage == "vae" and job.decoder == "diffusers" and job.weight_bytes < BYTES_PER_NUMBER[vae_dtype]
        own = min(STREAMED_LEAVES * largest, weights[stage])
        if self.strategy is not OffloadStrategy.SEQUENTIAL:
            own = weights[stage]
        others = sum(weights.values()) - weights[stage] if self.strategy is OffloadStrategy.FULL_GPU else 0.0
        return own * (2 if upcast else 1) + others + cast

    def _copy(self, job: Job) -> float:
        """The largest copy that is made of a module's weights to compute with."""
        if self.format.everything < 1:
            return job.footprints.largest["unet"] / MIB_PER_GIB
        return job.footprints.largest_linear / MIB_PER_GIB if self.format.matrices < 1 else 0.0

    def added_seconds(self, job: Job, denoising: Denoising, computing: float) -> float:
        """Return the time that the weights add to `computing`, the seconds of all forwards.

        They are read and converted for more forwards than the least, and moved.
        """
        rates, weights, forwards = job.rates, self.weights(job), denoising.forwards(job)
        parameters = job.weights["unet"] / job.weight_bytes
        read = forwards * (weights["unet"] + parameters * self.format.traffic)
        least_batches = -(-job.request.images // job.request.largest_batch)
        usual = least_batches * job.request.steps * (job.weights["unet"] + job.lora_gb)
        hooks = forwards * rates.hooked_forward
        seconds = (read - usual) * BYTES_PER_GIB * rates.read_byte + (hooks if self.weight_dtype == "float8" else 0.0)
        if job.pages_weights or self.strategy is OffloadStrategy.FULL_GPU:
            return seconds
        if self.strategy is OffloadStrategy.CPU_OFFLOAD:
            moved = 2 * (weights["text"] + denoising.batches(job) * (weights["unet"] + weights["vae"]))
            return seconds + moved * BYTES_PER_GIB * rates.moved_byte
        streaming = forwards * weights["unet"] * BYTES_PER_GIB * rates.streamed_byte
        others = (weights["text"] + job.request.images * weights["vae"]) * BYTES_PER_GIB * rates.streamed_byte
        return seconds + streaming - STREAM_HIDDEN * min(streaming, computing) + hooks + others


@dataclass(frozen=True)
class Denoising:
    """The way that the steps are computed."""

    batch: int
    cfg_split: bool = False
    attention_slicing: bool = False

    def items(self, job: Job) -> int:
        """Return the latents in one forward."""
        return self.batch * (2 if job.request.guided and not self.cfg_split else 1)

    def batches(self, job: Job) -> int:
        """Return the number of forward batches."""
        return -(-job.request.images // self.batch)

    def forwards(self, job: Job) -> int:
        """Return the forwards of the whole job."""
        return self.batches(job) * job.request.steps * (2 if job.request.guided and self.cfg_split else 1)

    def footprint(self, job: Job) -> Footprint:
        """Return the footprint of a forward."""
        items = self.items(job)
        if job.activation_gb is not None:
            return _of_size(job.activation_gb["unet"] * items)
        table = "flash" if self.attention_slicing else job.attention
        return job.footprints.unet_call(job.request.pixels, items, table).scaled(job.weight_bytes / 2)

    def seconds(self, job: Job, placement: Placement) -> float:
        """Return the time of all steps, with the time that the placement of the weights adds."""
        slowdown = SLICING_SLOWDOWN if self.attention_slicing else 1.0
        computing = job.request.items * job.rates.forward_item * slowdown
        return computing + placement.added_seconds(job, self, computing)


@dataclass(frozen=True)
class Decoding:
    """The way that latents become pictures."""

    tile: int = 0
    dtype: str = "float32"

    def footprint(self, job: Job, images: int) -> Footprint:
        """Return the footprint of decoding one image after the other, `images` of them kept."""
        request, number = job.request, BYTES_PER_NUMBER[self.dtype]
        pixels = largest_tile(request.width, request.height, self.tile, job.decoder)
        if job.activation_gb is not None:
            return _of_size(job.activation_gb["vae"] * pixels / request.pixels)
        image = 3 * number * request.pixels / BYTES_PER_MIB
        kept = (images - 1) * image if job.decoder == "diffusers" else 0.0
        if self.tile and job.decoder == "diffusers":
            kept += image / (1 - DIFFUSERS_OVERLAP) ** 2  # the tiles' rows, put together at the end
        return job.footprints.vae_call(pixels, job.decoder).scaled(number / 2, kept)

    def seconds(self, job: Job) -> float:
        """Return the time of decoding all images; the job's rate is that of its most exact precision."""
        request = job.request
        pixels = request.images * request.pixels * decoded_share(request.width, request.height, self.tile, job.decoder)
        return pixels * job.rates.decoded_pixel * decode_slowdown(self.dtype) / decode_slowdown(job.vae_dtypes[0])


def stage_demand(
    job: Job, placement: Placement, stage: str, footprint: Footprint, vae_dtype: str = "float16"
) -> Demand:
    """Return the memory of `stage`, its activations corrected by what was measured on this device."""
    resident = placement.resident(job, stage, vae_dtype) + job.context_gb
    backend = MIOPEN.get(stage, 1.0) if job.backend == "rocm" else 1.0
    factor = job.corrections.get(stage, 1.0) * backend / MIB_PER_GIB
    gaps = placement.format.gaps if stage == "unet" else 0.0
    needed = max(footprint.allocated, footprint.least_reserved) * (1 + gaps)
    sizes = (footprint.allocated, needed, max(footprint.reserved, needed))
    return Demand(*(resident + size * factor for size in sizes))


def lora_demand(job: Job, placement: Placement) -> Demand:
    """Return the memory of patching LoRAs into the UNet's weights."""
    layer = job.footprints.largest_linear * 2 / MIB_PER_GIB  # in float32
    return stage_demand(job, placement, "lora", _of_size(LORA_COPIES * layer))


def upscale_demand(job: Job, placement: Placement, tile: int) -> Demand:
    """Return the memory of enlarging by the request's upscale model, in tiles of `tile` pixels to a side."""
    assert job.request.upscaling is not None
    cost, width, height = job.request.upscaling
    whole = placement.strategy is OffloadStrategy.FULL_GPU and not job.pages_weights
    resident = cost.weights_gb + job.context_gb + (sum(placement.weights(job).values()) if whole else 0.0)
    picture = PICTURE_BYTES * width * height if job.decoder == "comfyui" else 0
    tensors = cost.pixel_bytes * min(tile, width) * min(tile, height)
    peak = resident + (tensors + picture) / BYTES_PER_GIB * job.corrections.get(UPSCALE, 1.0)
    return Demand(peak, peak, peak)


def _of_size(size_gb: float) -> Footprint:
    return Footprint._make((*[size_gb * MIB_PER_GIB] * 5, 0.0))


def largest_tile(width: int, height: int, tile: int, decoder: str) -> int:
    """Return the pixels that are decoded at once."""
    if not tile:
        return width * height
    sides = [(tile * across, tile * down) for across, down in (COMFYUI_SHAPES if decoder == "comfyui" else ((1, 1),))]
    return int(max(min(width, across) * min(height, down) for across, down in sides))


def decoded_share(width: int, height: int, tile: int, decoder: str) -> float:
    """Return the decoded pixels for each pixel of the picture: tiles overlap, and ComfyUI averages three tilings."""
    if not tile:
        return 1.0
    if decoder == "diffusers":
        stride = int(tile * (1 - DIFFUSERS_OVERLAP))
        return math.prod(_clipped(side, tile, stride) / side for side in (width, height))
    overlap = min(COMFYUI_OVERLAP, tile // 4)
    sides = [(tile * across, tile * down) for across, down in COMFYUI_SHAPES]
    areas = (_covered(width, across, overlap) * _covered(height, down, overlap) for across, down in sides)
    return sum(areas) / (width * height)


def _clipped(side: int, tile: int, stride: int) -> int:
    """Pixels along a side where a tile begins at every `stride`, the last ones cut off at the end."""
    return sum(min(tile, side - start) for start in range(0, side, stride))


def _covered(side: int, tile: float, overlap: int) -> float:
    """Pixels along a side where tiles of one length overlap, the last one moved back into the picture."""
    return side if side <= tile else math.ceil((side - overlap) / (tile - overlap)) * tile
