"""What a host knows of the base model in hand, and which family that makes it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..records import Record
from .kinds import Architecture, Family


@dataclass(frozen=True)
class ModelEvidence(Record):
    """Evidence of a loaded (or named) base model, given by the host."""

    name: str = ""
    """File name or hub id; empty when the host cannot tell."""
    path: str | None = None
    architecture: Architecture = Architecture.UNKNOWN
    prediction: str | None = None
    """How the loaded model samples: `epsilon`, `v_prediction` or `edm` (continuous noise levels, as Playground v2.5 and
    CosXL have them); None when not loaded."""
    sigma_max: float | None = None
    """Largest sigma of the model's schedule (14.6 for SDXL; 4518.8 with zero terminal SNR)."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Safetensors header entries."""
    base_model: str | None = None
    """What the registry or a hub says it was made from."""
    family: Family = Family.UNKNOWN
    """Set by the user to override detection; UNKNOWN: detect."""
    loras: tuple[str, ...] = ()
    """File names of LoRAs that the host has on the model already, besides those that are chosen here."""


@dataclass(frozen=True)
class FamilyFinding(Record):
    """Which family a base model is of, how sure, and why."""

    family: Family
    architecture: Architecture
    confidence: float
    reason: str
    zsnr: bool = False
    """Zero terminal SNR: the schedule starts far above the usual 14.6."""
    few_steps: int | None = None
    """The step count that a distilled checkpoint was made for, when its name says so."""
    base: Family = Family.UNKNOWN
    """What a distilled checkpoint was distilled from, when its name says so: its quality tags still count."""
    variant: str = ""
    """`guided` for Hyper-SD that keeps CFG, `merge` for a fine-tune on Turbo: a look of their own in the table."""
