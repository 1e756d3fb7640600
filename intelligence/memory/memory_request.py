"""The request for a memory plan, in one record. Sizes are GiB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..config import MemorySettings, require
from ..models import Architecture
from ..validation import checked
from .plan import MemoryPlan
from .upscaling import UpscaledPicture

BYTES_PER_NUMBER = {"float16": 2, "bfloat16": 2, "float32": 4}


@dataclass(frozen=True)
class HostTraits:
    """Abilities of a host."""

    decoder: str
    """Whose VAE code runs: `diffusers` or `comfyui`."""
    weight_dtypes: tuple[str, ...] = ("float16",)
    cfg_split: bool = False
    attention_slicing: bool = False
    patches_loras: bool = False
    """LoRAs are computed into the weights rather than kept beside them."""
    places_weights: bool = True
    """Weights lie where the plan says, so that a measured peak tells what the activations took."""


DIFFUSERS = HostTraits(
    "diffusers", weight_dtypes=("float16", "int8", "float8", "nf4"), cfg_split=True, attention_slicing=True
)
COMFYUI = HostTraits("comfyui", cfg_split=True, patches_loras=True, places_weights=False)


@dataclass(frozen=True)
class Rates:
    """Seconds that work takes on a device, at one picture size; made by `parameters/speed.py`."""

    forward_item: float
    """A latent through the UNet once."""
    decoded_pixel: float
    run: float = 0.0
    """Of a run beside its forward items and decodes."""
    read_byte: float = 0.0
    """A byte of weights read from the device's own memory."""
    moved_byte: float = 0.0
    """A byte of weights moved between RAM and device with its whole model."""
    streamed_byte: float = 0.0
    """A byte of weights moved to the device with its module, while others compute."""
    hooked_forward: float = 0.0
    """A forward through hooks at every module."""
    learned: bool = False
    """Earlier runs on this device tell; otherwise these are a cautious guess."""


MIN_TILE = 64
"""Side of the smallest tile that VAEs decode, in pixels [ComfyUI's VAEDecodeTiled]."""


@dataclass(frozen=True)
class MemoryRequest:
    """A job to plan: what to make, with which model, by which host, within which limits.

    Raises InvalidInputError for a size, count, name or limit that cannot be.
    """

    width: int = 1024
    height: int = 1024
    images: int = 1
    max_batch: int | None = None
    """Images that may share a forward batch; None: all of them."""
    guided: bool = True
    """Steps evaluate the negative prompt too (CFG above 1)."""
    steps: int = 20
    """Model evaluations of an image."""
    forward_items: int | None = None
    """Latents through the UNet in the whole job; None: one for each image and evaluation, two where it is guided."""
    architecture: Architecture = Architecture.SDXL
    weights_gb: Mapping[str, float] = field(default_factory=dict)
    """Sizes of the weights by stage (`text`, `unet`, `vae`) as they are loaded; the usual sizes for missing stages."""
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The networks' `config.json` by component (`unet`, `vae` …), where the host has them."""
    activation_gb: Mapping[str, float] | None = None
    """The host's own figures at this size, `unet` for one forward item and `vae` for one image; used for architectures
    other than SDXL, SD1 and SD2."""
    lora_gb: float = 0.0
    """Weights of the LoRAs that will be applied."""
    vae_dtype: str | None = None
    """Precision of the decode: `float16`, `bfloat16` or `float32`; None: chosen for diffusers, `float32` elsewhere."""
    settings: MemorySettings = field(default_factory=MemorySettings)
    max_vram_gb: float | None = None
    """The generation's own limit, beside that of the settings."""
    tile_size: int | None = None
    """Side of a VAE tile in pixels, 0 to decode whole; None: chosen."""
    host: HostTraits | None = None
    """None: the manager's."""
    failed: Mapping[str, MemoryPlan] = field(default_factory=dict)
    """Plans for this job that ran out of memory, by the stage where they did: what takes as much there does not fit."""
    rates: Rates | None = None
    """None: no time is predicted."""
    upscaling: UpscaledPicture | None = None
    """Enlarging by an upscale model between two passes; None: there is none."""

    def __post_init__(self) -> None:
        for name in ("width", "height", "images"):
            object.__setattr__(self, name, checked(name, getattr(self, name), int, ge=1))
        checked("steps", self.steps, int, ge=0)
        fits = self.tile_size in (None, 0) or checked("tile_size", self.tile_size, int) >= MIN_TILE
        require(fits, f"tile_size must be 0 or at least {MIN_TILE} pixels, got {self.tile_size}")
        stages = ("text", "unet", "vae")
        unknown = set(self.weights_gb) - set(stages)
        require(not unknown, f"weights_gb knows {', '.join(stages)}, not {', '.join(sorted(unknown))}")
        for stage, size in self.weights_gb.items():
            checked(f"weights_gb: {stage}", size, float, ge=0)
        known = self.vae_dtype is None or self.vae_dtype in BYTES_PER_NUMBER
        require(known, f"vae_dtype must be one of {', '.join(BYTES_PER_NUMBER)}, got {self.vae_dtype!r}")

    @property
    def pixels(self) -> int:
        """Of one image."""
        return self.width * self.height

    @property
    def largest_batch(self) -> int:
        """Images that may share a forward batch."""
        return min(self.images, self.max_batch or self.images)

    @property
    def max_gb(self) -> float | None:
        """The smaller of the limits of the settings and of this generation."""
        limits = (self.settings.max_vram_gb, self.max_vram_gb)
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def items(self) -> int:
        """Forward items of the whole job."""
        return self.forward_items or self.images * self.steps * (2 if self.guided else 1)
