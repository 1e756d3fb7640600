"""The plan by which one generation is fitted onto a device, and its parts as text. Sizes are GiB."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from ..config import OffloadStrategy
from ..records import Reason, Record, renamed
from ..units import format_memory
from .memory_messages import MemoryMessage as Text

BAR_WIDTH = 24
"""Characters."""

STAGE_TITLES = {"text": "text", "lora": "LoRAs", "unet": "steps", "vae": "decode", "upscale": "enlarge"}

WEIGHT_TITLES = {"float8": Text.OPTION_FLOAT8, "int8": Text.OPTION_INT8, "nf4": Text.OPTION_NF4}


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
    """Images per forward batch."""
    predicted_peak_gb: float = 0.0
    """Peak of this process on the device, the driver's context included."""
    budget_gb: float | None = None
    """Memory that may be used; None: no limit is known."""
    fits: bool = True
    stages: dict[str, float] = field(default_factory=dict)
    """Predicted peak by stage: `text`, `lora` (where a LoRA is patched in), `unet`, `vae`, `upscale` (where a model
    enlarges)."""
    reasons: tuple[Reason, ...] = ()
    weight_dtype: str = "float16"
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
    upscale_tile: int = 0
    """Side of an upscale model's tile in pixels; 0: none enlarges."""

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


def budget_bars(plan: MemoryPlan) -> list[str]:
    """Return the budget, and a bar for each stage's predicted peak."""
    scale = plan.budget_gb or max(plan.stages.values(), default=0.0) or 1.0
    lines = ["Budget: no limit is known" if plan.budget_gb is None else f"Budget: {format_memory(plan.budget_gb, 2)}"]
    for stage, peak in plan.stages.items():
        filled = min(BAR_WIDTH, round(peak / scale * BAR_WIDTH))
        held = min(filled, round((plan.context_gb + plan.resident.get(stage, 0.0)) / scale * BAR_WIDTH))
        bar = ("█" * held + "▒" * (filled - held)).ljust(BAR_WIDTH, "·")
        over = " (over the budget)" if plan.budget_gb is not None and peak > plan.budget_gb else ""
        lines.append(f"{STAGE_TITLES.get(stage, stage):<6} {bar} {format_memory(peak, 2):>9}{over}")
    return [*lines, "█ weights and driver, ▒ activations, · free"]


def peak_line(plan: MemoryPlan, measured_gb: float = 0.0) -> str:
    """Return the predicted peak, beside the measured one (GiB; 0: none), which lacks the driver's context."""
    if not measured_gb:
        return f"Memory peak: predicted {format_memory(plan.predicted_peak_gb, 2)}"
    predicted = format_memory(plan.predicted_peak_gb - plan.context_gb, 2)
    return f"Memory peak beside the driver: predicted {predicted}, measured {format_memory(measured_gb, 2)}"


def describe(option: PlanOption | MemoryPlan, images: int | None = None) -> str:
    """Return a way to run a job in a few words; `images`: the number of which a forward batch is a part."""
    batch = (Text.OPTION_BATCH_OF if images else Text.OPTION_BATCH).format(batch=option.batch_size, images=images)
    parts = [
        option.strategy.value,
        WEIGHT_TITLES.get(option.weight_dtype),
        None if option.batch_size == (images or 1) else batch,
        Text.OPTION_CFG_SPLIT.value if option.cfg_split else None,
        Text.OPTION_SLICED.value if option.attention_slicing else None,
        Text.OPTION_TILES.format(tile=option.tile_size) if option.tile_size else None,
        Text.OPTION_BFLOAT16.value if option.vae_dtype == "bfloat16" else None,
    ]
    return ", ".join(part for part in parts if part)
