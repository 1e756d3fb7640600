"""Kinds, architectures and families of models, facts about families, and the small parts of records."""

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


TITLES = {
    Family.SDXL: "SDXL",
    Family.PONY: "Pony",
    Family.ILLUSTRIOUS: "Illustrious",
    Family.NOOBAI: "NoobAI",
    Family.NOOBAI_VPRED: "NoobAI v-pred",
    Family.TURBO: "Turbo",
    Family.LIGHTNING: "Lightning",
    Family.HYPER: "Hyper-SD",
    Family.LCM: "LCM",
    Family.DMD2: "DMD2",
    Family.SD15: "SD 1.5",
    Family.SD2: "SD 2",
    Family.UNKNOWN: "unknown",
}
"""Their names as people write them."""

DISTILLED = frozenset({Family.TURBO, Family.LIGHTNING, Family.HYPER, Family.LCM, Family.DMD2})
"""Families that say how a checkpoint is sampled, in few steps, and not what its LoRAs were trained on."""

CLOSE_FAMILIES = (frozenset({Family.ILLUSTRIOUS, Family.NOOBAI, Family.NOOBAI_VPRED}),)
"""Groups of families whose LoRAs work on each other."""

ARCHITECTURES = {
    Family.SD15: Architecture.SD1,
    Family.SD2: Architecture.SD2,
    Family.SDXL: Architecture.SDXL,
    Family.PONY: Architecture.SDXL,
    Family.ILLUSTRIOUS: Architecture.SDXL,
    Family.NOOBAI: Architecture.SDXL,
    Family.NOOBAI_VPRED: Architecture.SDXL,
}
"""The one architecture of a family; distilled families have several."""

BASE_FAMILIES = {Architecture.SD1: Family.SD15, Architecture.SD2: Family.SD2, Architecture.SDXL: Family.SDXL}
"""The family of an architecture's original model. Other architectures have no families here."""


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
