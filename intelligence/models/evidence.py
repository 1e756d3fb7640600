"""Evidence of a base model that a host has loaded or names, and the family found by it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..records import Record
from .kinds import Architecture, Family

SIGMA_MAX = 14.6146
"""Largest sigma of the schedule that SD 1, SD 2 and SDXL were trained with."""

ZERO_TERMINAL_SIGMA = 4518.8
"""Largest sigma of that schedule, rescaled to zero terminal SNR as in ComfyUI."""

_ZERO_TERMINAL_FROM = 100.0


@dataclass(frozen=True)
class ModelEvidence(Record):
    """Evidence of a loaded or named base model."""

    name: str = ""
    """File name or hub id; empty where the host does not know it."""
    path: str | None = None
    architecture: Architecture = Architecture.UNKNOWN
    prediction: str | None = None
    """`epsilon`, `v_prediction` or `edm` (continuous noise levels, as Playground v2.5 and CosXL have them); None where
    the model is not loaded and its header does not say."""
    sigma_max: float | None = None
    """Largest sigma of the model's schedule; None: not known."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Safetensors header entries."""
    base_model: str | None = None
    """The base model that the registry or a hub names."""
    family: Family = Family.UNKNOWN
    """Set by the user to override detection; UNKNOWN: detect."""
    loras: tuple[str, ...] = ()
    """File names of LoRAs that the host has on the model already, besides those that are chosen here."""

    @property
    def zero_terminal_snr(self) -> bool:
        """True where the schedule is known to start far above the usual 14.6."""
        return (self.sigma_max or 0.0) > _ZERO_TERMINAL_FROM


@dataclass(frozen=True)
class FamilyFinding(Record):
    """The family of a base model, with confidence (0 to 1) and reason."""

    family: Family
    architecture: Architecture
    confidence: float
    reason: str
    zsnr: bool = False
    """Zero terminal SNR: the schedule starts far above the usual 14.6."""
    few_steps: int | None = None
    """The step count that a distilled checkpoint was made for, when its name says so."""
    base: Family = Family.UNKNOWN
    """The family that a distilled checkpoint was made from, when its name says so: its quality tags still count."""
    variant: str = ""
    """`guided` for Hyper-SD that keeps CFG, `merge` for a fine-tune on Turbo: these have settings of their own."""
