"""What the machine has, and how a job is fitted onto it. Sizes are GiB."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..config import OffloadStrategy
from ..records import Reason, Record


@dataclass(frozen=True)
class Resources(Record):
    """The device that will sample and the memory at hand now."""

    device: str
    """`cuda` (ROCm too), `xpu`, `mps` or `cpu`."""
    name: str
    total_gb: float
    free_gb: float
    """What one run of this process may still take, what torch holds already counted in."""
    ram_total_gb: float
    ram_free_gb: float
    backend: str = ""
    """`cuda`, `rocm`, `xpu`, `mps` or `cpu`; empty: not told."""
    context_gb: float | None = None
    """What the driver holds for this process beside torch's tensors, not part of `free_gb`; None: not known yet."""
    others_gb: float | None = None
    """What other processes hold on the device; None: cannot be told."""
    dtypes: tuple[str, ...] = ()
    """Of float16, bfloat16, float8_e4m3fn: what the device converts from and to; of int8 and nf4: what the libraries
    here can keep weights as; empty: not told."""
    attention: str = "flash"
    """`flash` where attention does not hold all scores at once (flash or memory-efficient), else `math`."""
    dynamic_vram: bool = False
    """ComfyUI pages weights in and out by itself: weights never stand in the way of a plan."""


@dataclass(frozen=True)
class Option(Record):
    """One way to run a job, and what it is predicted to take."""

    strategy: OffloadStrategy
    weight_dtype: str = "float16"
    """How the UNet's weights lie on the device: as loaded (`float16`), `float8`, `int8`, or `nf4` with 4 bits."""
    batch_size: int = 1
    cfg_split: bool = False
    attention_slicing: bool = False
    tile_size: int = 0
    vae_dtype: str = "float32"
    needed_gb: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class HostTraits:
    """What a host can carry out, and how it does it."""

    decoder: str
    """Whose VAE code runs: `diffusers` or `comfyui`."""
    weight_dtypes: tuple[str, ...] = ("float16",)
    cfg_split: bool = False
    attention_slicing: bool = False
    patches_loras: bool = False
    """LoRAs are computed into the weights rather than kept beside them."""
    places_weights: bool = True
    """Weights lie where the plan says, so that a measured peak tells what the rest took."""


DIFFUSERS = HostTraits(
    "diffusers", weight_dtypes=("float16", "int8", "float8", "nf4"), cfg_split=True, attention_slicing=True
)
COMFYUI = HostTraits("comfyui", cfg_split=True, patches_loras=True, places_weights=False)


@dataclass(frozen=True)
class MemoryPlan(Record):
    """How one generation is fitted onto a device, and what it is predicted to take."""

    strategy: OffloadStrategy
    """Never AUTO: what AUTO came to."""
    device: str
    tile_size: int = 0
    """Side of a VAE decode tile in pixels; 0: decode whole."""
    batch_size: int = 1
    """Images per forward batch; larger requests are split into several."""
    predicted_peak_gb: float = 0.0
    """Of this process on the device, the driver's context counted in: what is measured afterwards."""
    budget_gb: float | None = None
    """What may be used; None: no limit is known."""
    fits: bool = True
    stages: dict[str, float] = field(default_factory=dict)
    """Predicted peak by stage: `text`, `lora` (where a LoRA is patched in), `unet`, `vae`."""
    reasons: tuple[Reason, ...] = ()
    weight_dtype: str = "float16"
    """How the UNet's weights lie on the device: as loaded (`float16`), `float8`, `int8`, or `nf4` with 4 bits."""
    vae_dtype: str = ""
    """What the VAE decodes in; empty: as the host does."""
    cfg_split: bool = False
    """Whether prompt and negative prompt go through the UNet one after the other."""
    attention_slicing: bool = False
    context_gb: float = 0.0
    """The part of every peak that torch does not count."""
    resident: dict[str, float] = field(default_factory=dict)
    """Weights on the device by stage: what a measurement is corrected by."""
    needed_gb: float = 0.0
    """The least budget within which this plan fits: a little above the peak, since the allocator leaves gaps."""
    comfort: dict[str, float] = field(default_factory=dict)
    """By stage, what torch would reserve if nothing limited it."""
    seconds: float = 0.0
    """Predicted time of the whole job, where the device computes at the throughput that the plan was made with."""
    better: Option | None = None
    """The least of what would be faster but does not fit."""
    smaller: Option | None = None
    """The fastest of what takes less."""
    largest_size: tuple[int, int] | None = None
    """Where nothing fits: width and height of the largest picture of this shape that would."""
    together: int = 1
    """Images that were allowed to share a forward batch: what `batch_size` is a part of."""
    asked_strategy: OffloadStrategy = OffloadStrategy.AUTO
    """AUTO: `strategy` was chosen; else it was asked for."""
    asked_tile: int | None = None
    """None: `tile_size` was chosen; else it was asked for."""

    @property
    def setup(self) -> tuple[object, ...]:
        """What a host sets up before it runs: plans alike in this need nothing done between them."""
        return (
            self.strategy,
            self.device,
            self.weight_dtype,
            self.vae_dtype,
            self.tile_size,
            self.cfg_split,
            self.attention_slicing,
        )

    def weights_limit(self, stage: str) -> float:
        """GiB of weights that may lie on the device while `stage` runs: what its activations leave of the budget, or
        exactly what the strategy needs where it was asked for by name."""
        resident = self.resident[stage]
        if self.asked_strategy is not OffloadStrategy.AUTO or self.budget_gb is None:
            return resident
        return max(resident, self.budget_gb - (self.comfort[stage] - resident))

    @property
    def peak_stage(self) -> str:
        """The stage that takes the most."""
        return max(self.stages, key=lambda stage: self.stages[stage], default="")
