"""What each stage of a job takes on the device, and how long the job takes. Pure; sizes are GiB."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..config import OffloadStrategy
from .footprints import Footprints
from .simulator import Footprint

MIB = 1 / 1024
MEGAPIXEL = 1024 * 1024

STAGES = ("text", "lora", "unet", "vae")
"""In the order of a run. `lora`: patching LoRAs into weights; a host that adds them beside the weights has none."""

UNKNOWN_CONTEXT = {"cuda": 400 * MIB, "xpu": 400 * MIB}
"""Driver's context and cuBLAS's workspace, assumed until the device was used: 128–256 MiB are usual, 781 was seen."""

BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}

LORA_COPIES = 3
"""float32 tensors of the size of the layer that is being patched: its copy, the LoRA's product and that times its
strength, as comfy/lora.py computes. ComfyUI#1947 reads 50 MiB for each, at the largest Linear layer of SDXL."""

STREAMED_LEAVES = 2
"""Modules on the device while weights stream: the one that computes and the one that comes next."""

DIFFUSERS_OVERLAP = 0.25
"""AutoencoderKL's `tile_overlap_factor`."""
COMFYUI_OVERLAP = 64
"""Pixels by which VAEDecodeTiled's tiles overlap, a quarter of a tile smaller than 256."""
COMFYUI_SHAPES = ((1.0, 1.0), (0.5, 2.0), (2.0, 0.5))
"""Its tiles' sides: it decodes in three shapes of the same area and takes their mean."""

DEFAULT_TFLOPS = 10.0
"""Sustained speed of a device that was not measured: low on purpose; an A100 reaches about 108."""

WEIGHT_GB_S = 250.0
"""Speed at which the device reads and converts weights: the memory of the slowest usual 8 GB cards (RTX 4060: 272)."""
STREAM_GB_S = 10.0
"""From pinned RAM: PCIe 3.0 x16 moves 14.7 GiB/s at best, about two thirds of it in practice."""
STREAM_HIDDEN = 0.4
"""Share of the shorter of computing and streaming that goes on at the same time. Most weights sit where little is
computed: with one module fetched ahead, by size and work of SDXL's 1050, the sum of the longer of each pair is longer
than the computing by 0.29 s at 10 TFLOP/s, 0.35 at 40 and 0.43 at 150, of 0.48 s of streaming."""
HOOK_SECONDS = 0.03
"""A forward through hooks at each of 1050 modules, of 26 µs [diffusers 0.42's group offload on a CPU, empty model]."""
MOVE_GB_S = 2.8
"""Of whole models, from and to pageable RAM. From Hugging Face's readings for SDXL on an A100: model offload takes
16.1 s in place of 11.4 for 6.5 GiB there and back."""

FLOAT32_SLOWDOWN = 2.0
"""TF32 runs at half the rate of fp16 on tensor cores (NVIDIA's A100 data sheet: 156 to 312 TFLOP/s)."""
SLICING_SLOWDOWN = 1.1
"""Attention one head at a time (diffusers' guide: about 10 % slower)."""


class WeightFormat(NamedTuple):
    """How the UNet's weights are kept."""

    everything: float = 1.0
    """Share of its bytes that is left of every weight."""
    matrices: float = 1.0
    """Share that is left of the matrices of Linear layers, scales for groups of numbers counted in."""
    row_bytes: int = 0
    """What each output feature of a Linear layer has beside its numbers."""
    traffic: float = 0.0
    """Bytes moved for each parameter and forward beside reading what is kept, to get weights to compute with."""
    streams: bool = True
    """Whether modules can be fetched one by one."""
    gaps: float = 0.0
    """What the allocator leaves free between copies of weights and activations, in shares of the activations."""


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


@dataclass(frozen=True)
class Job:
    """What is to be made, with which model, by which host. Weights are those at hand, in GiB by stage."""

    width: int
    height: int
    images: int
    cfg: bool
    steps: int
    footprints: Footprints
    weights: Mapping[str, float]
    device: str = "cuda"
    weight_bytes: int = 2
    """Of a number in the UNet as it computes."""
    decoder: str = "diffusers"
    attention: str = "flash"
    lora_gb: float = 0.0
    """Weights of LoRAs that stay beside the model's own."""
    patches_loras: bool = False
    context_gb: float = 0.0
    pages_weights: bool = False
    """The host's allocator makes room by itself: weights never add to a peak."""
    activation_gb: Mapping[str, float] | None = None
    """`unet` (one forward item) and `vae` (one whole image) of a model without footprints, as the host's own formulas
    have them at this size."""
    corrections: Mapping[str, float] = field(default_factory=dict)
    """Measured over predicted activations, by stage."""
    tflops: float = DEFAULT_TFLOPS

    @property
    def pixels(self) -> int:
        return self.width * self.height


class Demand(NamedTuple):
    """What a stage takes on the device, GiB, weights and context counted in."""

    peak: float
    """As torch's own counter of allocated bytes would have it at the end, plus the context."""
    need: float
    """Least that must be free for it."""
    comfort: float
    """What torch reserves where nothing limits it."""


@dataclass(frozen=True)
class Placement:
    """Where the weights lie: what all stages of a job share."""

    strategy: OffloadStrategy
    weight_dtype: str = "float16"

    @property
    def format(self) -> WeightFormat:
        return FINEST_FIRST[self.weight_dtype]

    @property
    def possible(self) -> bool:
        """Whether this strategy works with this format."""
        return self.format.streams or self.strategy is not OffloadStrategy.SEQUENTIAL

    def weights(self, job: Job) -> dict[str, float]:
        """Weights of each stage as they lie on the device or in RAM."""
        kept = self.format
        matrices = job.footprints.linear / job.footprints.weights["unet"]
        share = kept.everything - (1 - kept.matrices) * matrices
        scales = kept.row_bytes * job.footprints.linear_rows / 2**30
        unet = job.weights["unet"] * share + scales + job.lora_gb
        return {"text": job.weights["text"], "unet": unet, "vae": job.weights["vae"]}

    def resident(self, job: Job, stage: str, vae_dtype: str = "float16") -> float:
        """Weights on the device while `stage` runs."""
        stage = "unet" if stage == "lora" else stage
        weights = self.weights(job)
        largest = job.footprints.largest[stage] * MIB
        if job.pages_weights:
            return min(largest, weights[stage])
        cast = self._copy(job) if stage == "unet" else 0.0
        upcast = stage == "vae" and job.decoder == "diffusers" and job.weight_bytes < BYTES[vae_dtype]
        own = min(STREAMED_LEAVES * largest, weights[stage])
        if self.strategy is not OffloadStrategy.SEQUENTIAL:
            own = weights[stage]
        others = sum(weights.values()) - weights[stage] if self.strategy is OffloadStrategy.FULL_GPU else 0.0
        return own * (2 if upcast else 1) + others + cast

    def _copy(self, job: Job) -> float:
        """The largest copy that is made of a module's weights to compute with."""
        if self.format.everything < 1:
            return job.footprints.largest["unet"] * MIB
        return job.footprints.largest_linear * MIB if self.format.matrices < 1 else 0.0

    def seconds(self, job: Job, forwards: int, batches: int, computing: float) -> float:
        """Time that the weights take beside the computing: read and converted for every forward, and moved."""
        weights = self.weights(job)
        parameters = job.weights["unet"] / job.weight_bytes
        hooks = HOOK_SECONDS if self.weight_dtype == "float8" else 0.0
        each = hooks + (weights["unet"] + parameters * self.format.traffic) / WEIGHT_GB_S
        reading = forwards * each
        if job.pages_weights or self.strategy is OffloadStrategy.FULL_GPU:
            return reading
        if self.strategy is OffloadStrategy.CPU_OFFLOAD:
            return reading + 2 * (weights["text"] + batches * (weights["unet"] + weights["vae"])) / MOVE_GB_S
        streaming = forwards * weights["unet"] / STREAM_GB_S
        stalling = streaming - STREAM_HIDDEN * min(streaming, computing) + forwards * HOOK_SECONDS
        return reading + stalling + (weights["text"] + job.images * weights["vae"]) / STREAM_GB_S


@dataclass(frozen=True)
class Denoising:
    """How the steps are computed."""

    batch: int
    cfg_split: bool = False
    attention_slicing: bool = False

    def items(self, job: Job) -> int:
        """Latents in one forward."""
        return self.batch * (2 if job.cfg and not self.cfg_split else 1)

    def forwards(self, job: Job) -> int:
        """Forwards of the whole job."""
        return math.ceil(job.images / self.batch) * job.steps * (2 if job.cfg and self.cfg_split else 1)

    def footprint(self, job: Job) -> Footprint:
        """One forward, MiB."""
        items = self.items(job)
        if job.activation_gb is not None:
            return _given(job.activation_gb["unet"] * items)
        table = "flash" if self.attention_slicing else job.attention
        return job.footprints.unet_call(job.pixels, items, table).scaled(job.weight_bytes / 2)

    def seconds(self, job: Job, placement: Placement) -> float:
        """Time of all steps, with what the placement of the weights adds."""
        items = job.images * job.steps * (2 if job.cfg else 1)
        tflop = items * job.footprints.unet_call(job.pixels, 2).tflop / 2
        computing = tflop / job.tflops * (SLICING_SLOWDOWN if self.attention_slicing else 1.0)
        return computing + placement.seconds(job, self.forwards(job), math.ceil(job.images / self.batch), computing)


@dataclass(frozen=True)
class Decoding:
    """How latents become pictures."""

    tile: int = 0
    dtype: str = "float32"

    def footprint(self, job: Job, images: int) -> Footprint:
        """Decoding one image after the other, `images` of them kept, MiB."""
        pixels = largest_tile(job.width, job.height, self.tile, job.decoder)
        if job.activation_gb is not None:
            return _given(job.activation_gb["vae"] * pixels / job.pixels)
        number = BYTES[self.dtype]
        image = 3 * number * job.pixels / 2**20
        kept = (images - 1) * image if job.decoder == "diffusers" else 0.0
        if self.tile and job.decoder == "diffusers":
            kept += image / (1 - DIFFUSERS_OVERLAP) ** 2  # the tiles' rows, put together at the end
        return job.footprints.vae_call(pixels, job.decoder).scaled(number / 2, kept)

    def seconds(self, job: Job) -> float:
        """Time of decoding all images."""
        tflop = job.footprints.vae_call(job.pixels).tflop * decoded_share(job.width, job.height, self.tile, job.decoder)
        return job.images * tflop / job.tflops * (FLOAT32_SLOWDOWN if BYTES[self.dtype] == 4 else 1.0)


def stage_demand(
    job: Job, placement: Placement, stage: str, footprint: Footprint, vae_dtype: str = "float16"
) -> Demand:
    """What `stage` takes, its activations corrected by what was measured on this device."""
    resident = placement.resident(job, stage, vae_dtype) + job.context_gb
    factor = job.corrections.get(stage, 1.0) * MIB
    gaps = placement.format.gaps if stage == "unet" else 0.0
    needed = max(footprint.floor, footprint.need) * (1 + gaps)
    sizes = (footprint.floor, needed, max(footprint.comfort, needed))
    return Demand(*(resident + size * factor for size in sizes))


def text_demand(job: Job, placement: Placement) -> Demand:
    """Encoding both prompts."""
    return stage_demand(job, placement, "text", job.footprints.text_call().scaled(job.weight_bytes / 2))


def lora_demand(job: Job, placement: Placement) -> Demand:
    """Patching LoRAs into the UNet's weights."""
    layer = job.footprints.largest_linear * 2  # in float32
    return stage_demand(job, placement, "lora", _given(LORA_COPIES * layer * MIB))


def largest_tile(width: int, height: int, tile: int, decoder: str) -> int:
    """Pixels that are decoded at once."""
    if not tile:
        return width * height
    sides = [(tile * across, tile * down) for across, down in (COMFYUI_SHAPES if decoder == "comfyui" else ((1, 1),))]
    return int(max(min(width, across) * min(height, down) for across, down in sides))


def decoded_share(width: int, height: int, tile: int, decoder: str) -> float:
    """Pixels that are decoded for one of the picture: tiles overlap, and ComfyUI averages three tilings."""
    if not tile:
        return 1.0
    if decoder == "diffusers":
        step = int(tile * (1 - DIFFUSERS_OVERLAP))
        return math.prod(_clipped(side, tile, step) / side for side in (width, height))
    overlap = min(COMFYUI_OVERLAP, tile // 4)
    sides = [(tile * across, tile * down) for across, down in COMFYUI_SHAPES]
    areas = (_whole(width, across, overlap) * _whole(height, down, overlap) for across, down in sides)
    return sum(areas) / (width * height)


def _clipped(side: int, tile: int, step: int) -> int:
    """Pixels along a side where every `step` a tile begins, the last ones cut off at the end."""
    return sum(min(tile, side - start) for start in range(0, side, step))


def _whole(side: int, tile: float, overlap: int) -> float:
    """Pixels along a side where tiles of one length overlap, the last one moved back into the picture."""
    return side if side <= tile else math.ceil((side - overlap) / (tile - overlap)) * tile


def _given(size_gb: float) -> Footprint:
    """A footprint of which only the size is known, in GiB."""
    return Footprint._make((*[size_gb / MIB] * 5, 0.0))
