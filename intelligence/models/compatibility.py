"""Fit of a LoRA to a base model by what both files are, before a model is loaded."""

from __future__ import annotations

from enum import Enum, auto

from .kinds import Architecture


class Fit(Enum):
    """Answer to the question if a LoRA's modules are those of a base model."""

    YES = auto()
    NO = auto()
    UNKNOWN = auto()
    """Of one of the two it is not known what it is: a warning, not a refusal. Unknown never equals another unknown."""


SAME_MODULES = (
    frozenset({Architecture.SDXL, Architecture.KOLORS}),
    frozenset({Architecture.FLUX, Architecture.CHROMA, Architecture.CHROMA_RADIANCE}),
    frozenset({Architecture.ANIMA, Architecture.COSMOS_PREDICT2}),
)
"""Networks with blocks of the same names and widths: a LoRA for one of them is loaded by another, for which it was not
made."""

_UNKNOWN = frozenset({Architecture.UNKNOWN, Architecture.OTHER})


def architecture_fit(lora: Architecture, base: Architecture) -> Fit:
    """Return if a LoRA made for the network `lora` fits a model with the network `base`.

    The one rule for suggestions, tags and the command line, where no model is loaded. With the model loaded, the share
    of the LoRA's modules that the model has decides instead.
    """
    if lora in _UNKNOWN or base in _UNKNOWN:
        return Fit.UNKNOWN
    return Fit.YES if lora is base else Fit.NO


def have_same_modules(one: Architecture, other: Architecture) -> bool:
    """Return True where a LoRA for one of two networks is loaded by the other as well."""
    return any({one, other} <= group for group in SAME_MODULES)
