"""Enlarges the latents of a first pass for the second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...parameters import OptimizedParameters
from ...parameters.second_pass import LATENT_METHOD

LATENT_SCALE = 8
"""Pixels to a side of a latent's value."""


def enlarge(latents: Sequence[Any], parameters: OptimizedParameters) -> list[Any]:
    """Return the latents of each forward batch, (batch, 4, height / 8, width / 8), at the size of the second pass."""
    from torch.nn.functional import interpolate

    size = parameters.height // LATENT_SCALE, parameters.width // LATENT_SCALE
    return [interpolate(batch, size, mode=LATENT_METHOD) for batch in latents]
