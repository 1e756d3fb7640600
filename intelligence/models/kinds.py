"""Kinds, architectures and families of models, and the small parts of their records."""

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
    """A known architecture that is none of these."""
    UNKNOWN = "unknown"


class Family(StrEnum):
    """Groups of checkpoints of one architecture with the same settings and quality tags."""

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
    """Kinds of model files."""

    CHECKPOINT = "checkpoint"
    LORA = "lora"
    VAE = "vae"
    EMBEDDING = "embedding"


class LoRAKind(StrEnum):
    """Purposes of LoRAs."""

    STYLE = "style"
    CHARACTER = "character"
    CONCEPT = "concept"
    EFFECT = "effect"
    SPEED = "speed"
    """Few-step distillation (Lightning, Hyper, LCM, DMD2): never chosen by words of the prompt."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """A fact about a model, with its source and confidence (0 to 1)."""

    value: str
    source: str
    confidence: float


@dataclass(frozen=True)
class TriggerSet:
    """Trigger words that are used together."""

    words: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class ExamplePrompt:
    """A prompt that a person used with the LoRA, and its strength there."""

    prompt: str
    weight: float | None = None
    stacked: bool | None = None
    """True where other LoRAs were used with it; None: unknown."""
    version: int | None = None
    """The hub's id of the version that was used; None: not known."""
