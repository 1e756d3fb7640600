"""Facts about the families of base models."""

from __future__ import annotations

from .kinds import Architecture, Family

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
