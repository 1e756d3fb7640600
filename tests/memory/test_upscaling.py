"""Memory plans with an upscale model: its tile fits the budget, and its peak is told beside the other stages'."""

from __future__ import annotations

import pytest

from intelligence.memory import DIFFUSERS, MemoryManager, MemoryPlan, MemoryRequest, Resources
from intelligence.memory.upscaling import OVERLAP, UpscaleCost, UpscaledPicture, tile_starts, upscaled_pixels

pytestmark = pytest.mark.unit

GIB = 2**30
COST = UpscaleCost(scale=4, weights_gb=0.0625, pixel_bytes=16_000, tflop=38.0)
CARD = Resources("cuda", "card", 24, 24, 64, 48, dtypes=("float16",))


def plan(limit: float | None, upscaling: UpscaledPicture | None) -> MemoryPlan:
    request = MemoryRequest(2048, 2048, host=DIFFUSERS, max_vram_gb=limit, upscaling=upscaling)
    return MemoryManager().plan(request, resources=CARD)


@pytest.mark.parametrize(("limit", "tile"), [(None, 512), (12.0, 512), (6.0, 512), (4.0, 256)])
def test_plan_takes_the_largest_tile_that_fits(limit: float | None, tile: int) -> None:
    found = plan(limit, UpscaledPicture(COST, 1024, 1024))
    assert (found.upscale_tile, found.fits) == (tile, True)
    tensors = COST.pixel_bytes * tile**2 / GIB
    assert found.stages["upscale"] == pytest.approx(found.resident["upscale"] + found.context_gb + tensors)
    assert found.predicted_peak_gb >= found.stages["upscale"] and found.needed_gb <= (limit or found.needed_gb)
    assert MemoryPlan.from_dict(found.to_dict()) == found


def test_plan_says_that_no_tile_fits() -> None:
    found = plan(6.0, UpscaledPicture(UpscaleCost(4, 6.0, 16_000, 38.0), 1024, 1024))
    assert (found.fits, found.upscale_tile) == (False, 128)
    assert found.needed_gb > 6.0


def test_plan_without_an_upscale_model_has_no_such_stage() -> None:
    found = plan(None, None)
    assert "upscale" not in found.stages and found.upscale_tile == 0


@pytest.mark.parametrize("side", [64, 512, 513, 900, 1024, 2000])
def test_tiles_cover_a_side(side: int) -> None:
    starts = tile_starts(side, 512)
    ends = [min(start + 512, side) for start in starts]
    assert (starts[0], ends[-1]) == (0, side)
    assert all(end - start >= OVERLAP for end, start in zip(ends, starts[1:], strict=False))
    assert upscaled_pixels(side, 64, 512) == 64 * sum(end - start for start, end in zip(starts, ends, strict=True))
