"""The plan by which one generation is fitted onto a device. Sizes are GiB."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from ..config import OffloadStrategy
from ..records import Reason, Record, renamed


@dataclass(frozen=True)
class PlanOption(Record):
    """A way to run a job, with its predicted memory and time."""

    strategy: OffloadStrategy = OffloadStrategy.FULL_GPU
    weight_dtype: str = "float16"
    """Format of the UNet's weights on the device: as loaded (`float16`), `float8`, `int8`, or `nf4` with 4 bits."""
    batch_size: int = 1
    cfg_split: bool = False
    attention_slicing: bool = False
    tile_size: int = 0
    vae_dtype: str = "float32"
    needed_gb: float = 0.0
    seconds: float | None = None
    """None: the caller gave no rates."""


@dataclass(frozen=True)
class MemoryPlan(Record):
    """The plan of one generation on a device, with its predicted memory and time."""

    strategy: OffloadStrategy
    """The strategy in use, never AUTO."""
    device: str
    tile_size: int = 0
    """Side of a VAE decode tile in pixels; 0: decode whole."""
    batch_size: int = 1
    """Images per forward batch; larger requests are split into several."""
    predicted_peak_gb: float = 0.0
    """Peak of this process on the device, the driver's context included."""
    budget_gb: float | None = None
    """Memory that may be used; None: no limit is known."""
    fits: bool = True
    stages: dict[str, float] = field(default_factory=dict)
    """Predicted peak by stage: `text`, `lora` (where a LoRA is patched in), `unet`, `vae`."""
    reasons: tuple[Reason, ...] = ()
    weight_dtype: str = "float16"
    """Format of the UNet's weights on the device: as loaded (`float16`), `float8`, `int8`, or `nf4` with 4 bits."""
    vae_dtype: str = ""
    """Precision of the VAE decode; empty: as the host does."""
    cfg_split: bool = False
    """Prompt and negative prompt go through the UNet one after the other."""
    attention_slicing: bool = False
    context_gb: float = 0.0
    """The part of every peak that torch does not count: the driver's context."""
    resident: dict[str, float] = field(default_factory=dict)
    """Weights on the device by stage, against which measurements are corrected."""
    needed_gb: float = 0.0
    """Least budget within which this plan fits: a little above the peak, since the allocator leaves gaps."""
    reserved_gb: Annotated[dict[str, float], renamed("reserved_gb", "comfort")] = field(default_factory=dict)
    """Memory that torch would reserve in each stage if nothing limited it."""
    seconds: float | None = None
    """Predicted time of the whole job at the request's rates; None: the request had none."""
    next_faster: Annotated[PlanOption | None, renamed("next_faster", "better")] = None
    """The least of what would be faster but does not fit."""
    next_smaller: Annotated[PlanOption | None, renamed("next_smaller", "smaller")] = None
    """The fastest of what takes less."""
    largest_size: tuple[int, int] | None = None
    """Width and height of the largest picture of this shape that would fit, where this one does not."""
    max_batch: Annotated[int, renamed("max_batch", "together")] = 1
    """Images that were allowed to share a forward batch: `batch_size` is a part of it."""
    requested_strategy: Annotated[OffloadStrategy, renamed("requested_strategy", "asked_strategy")] = (
        OffloadStrategy.AUTO
    )
    """AUTO: `strategy` was chosen."""
    requested_tile: Annotated[int | None, renamed("requested_tile", "asked_tile")] = None
    """None: `tile_size` was chosen."""
    speed_learned: bool = False
    """`seconds` rests on earlier runs on this device; otherwise it is a cautious guess."""

    @property
    def setup(self) -> tuple[object, ...]:
        """Everything that a host sets up before it runs: plans alike in this need nothing done between them."""
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
        """GiB of weights that may lie on the device while `stage` runs: the rest of the budget beside its activations,
        or exactly what the strategy needs where the user requested one."""
        resident = self.resident[stage]
        if self.requested_strategy is not OffloadStrategy.AUTO or self.budget_gb is None:
            return resident
        return max(resident, self.budget_gb - (self.reserved_gb[stage] - resident))

    @property
    def peak_stage(self) -> str:
        """The stage that takes the most."""
        return max(self.stages, key=lambda stage: self.stages[stage], default="")
