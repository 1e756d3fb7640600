"""The words that a model's record is written in: what it is, and single findings with their source."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Architecture(StrEnum):
    """Shape of the network. LoRAs only fit their own architecture."""

    SD1 = "sd1"
    SD2 = "sd2"
    SDXL = "sdxl"
    SD3 = "sd3"
    FLUX = "flux"
    OTHER = "other"
    """Recognised as something else."""
    UNKNOWN = "unknown"


class Family(StrEnum):
    """What a checkpoint was trained into, within its architecture. Decides settings and quality tags."""

    SDXL = "sdxl"
    PONY = "pony"
    ILLUSTRIOUS = "illustrious"
    NOOBAI = "noobai"
    NOOBAI_VPRED = "noobai_vpred"
    TURBO = "turbo"
    LIGHTNING = "lightning"
    HYPER = "hyper"
    LCM = "lcm"
    DMD2 = "dmd2"
    SD15 = "sd15"
    SD2 = "sd2"
    UNKNOWN = "unknown"


class ModelKind(StrEnum):
    """What the file is loaded as."""

    CHECKPOINT = "checkpoint"
    LORA = "lora"
    VAE = "vae"
    EMBEDDING = "embedding"


class LoRAKind(StrEnum):
    """What a LoRA is for."""

    STYLE = "style"
    CHARACTER = "character"
    CONCEPT = "concept"
    EFFECT = "effect"
    SPEED = "speed"
    """Few-step distillation (Lightning, Hyper, LCM, DMD2): chosen by parameters, never by words."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One fact about a model, where it comes from, and how sure it is."""

    value: str
    source: str
    confidence: float


@dataclass(frozen=True)
class TriggerSet:
    """Words that are used together to call a LoRA's subject or style."""

    words: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class ExamplePrompt:
    """A prompt that somebody used with the LoRA, and the strength used there."""

    prompt: str
    weight: float | None = None
    stacked: bool | None = None
    """Whether other LoRAs were used beside it; None: not known."""
    version: int | None = None
    """The hub's number of the version that was used; None: not known."""
