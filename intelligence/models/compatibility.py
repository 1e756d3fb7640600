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


_UNKNOWN = frozenset({Architecture.UNKNOWN, Architecture.OTHER})


def architecture_fit(lora: Architecture, base: Architecture) -> Fit:
    """Return if a LoRA made for the network `lora` fits a model with the network `base`.

    The one rule for suggestions, tags and the command line, where no model is loaded. With the model loaded, the share
    of the LoRA's modules that the model has decides instead.
    """
    if lora in _UNKNOWN or base in _UNKNOWN:
        return Fit.UNKNOWN
    return Fit.YES if lora is base else Fit.NO
