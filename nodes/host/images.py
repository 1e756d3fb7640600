"""IMAGE tensors as arrays of 8 bits, as ComfyUI's Save Image makes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


def eight_bit(images: torch.Tensor) -> Iterator[Any]:
    """Yield each image (height, width, channels) of an IMAGE, (batch, height, width, channels) from 0 to 1."""
    for image in images:
        yield np.clip(255.0 * image.cpu().numpy(), 0, 255).astype(np.uint8)
