"""What the machine has, and how a job is fitted onto it. Sizes are GiB."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..config import OffloadStrategy
from ..records import Reason, Record


@dataclass(frozen=True)
class Resources(Record):
    """The device that will sample and the memory at hand now."""

    device: str
    """`cuda`, `mps` or `cpu`."""
    name: str
    total_gb: float
    free_gb: float
    ram_total_gb: float
    ram_free_gb: float


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
    budget_gb: float | None = None
    """What may be used; None: no limit is known."""
    fits: bool = True
    stages: dict[str, float] = field(default_factory=dict)
    """Predicted peak by stage: `text`, `unet`, `vae`."""
    reasons: tuple[Reason, ...] = ()
