"""Pictures that other nodes picked, reordered, changed or merged, and the images of the generation they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from intelligence.config import OffloadStrategy
from intelligence.generation.image_identity import image_digest, image_indices
from intelligence.generation.stages import Generation, GenerationPlan, Recommendations
from intelligence.memory import MemoryPlan
from intelligence.parameters import OptimizedParameters
from intelligence.prompt import PromptAnalysis


def generation(images: int, digests: str) -> Generation:
    parameters = OptimizedParameters(4, 6.0, 64, 64, "euler", "normal")
    plan = GenerationPlan(
        Recommendations(PromptAnalysis("a cat"), [], parameters), MemoryPlan(OffloadStrategy.FULL_GPU, "cpu")
    )
    ids = tuple(map(str, range(images)))
    return Generation("id", plan, ids, tuple(range(images)), image_digests=tuple(digests))


@pytest.mark.parametrize(
    ("images", "made", "given", "indices"),
    [
        (3, "abc", "abc", [0, 1, 2]),
        (3, "abc", "b", [1]),
        (3, "abc", "cab", [2, 0, 1]),
        (3, "abc", "bb", [1, 1]),
        (3, "abc", "xyz", [0, 1, 2]),
        (3, "abc", "axc", [0, 1, 2]),
        (3, "abc", "bxc", [1, None, 2]),
        (3, "abc", "x", [None]),
        (3, "abc", "xy", [None, None]),
        (1, "a", "x", [0]),
        (1, "a", "ax", [0, None]),
        (1, "a", "xyz", [0, 0, 0]),
        (2, "abcdef", "abcdef", [0, 0, 0, 1, 1, 1]),
        (2, "abcdef", "e", [1]),
        (2, "abcdef", "uvwxyz", [0, 0, 0, 1, 1, 1]),
        (3, "aac", "aac", [0, 1, 2]),
        (3, "", "xyz", [0, 1, 2]),
        (3, "", "x", [None]),
    ],
)
def test_image_indices(images: int, made: str, given: str, indices: list[int | None]) -> None:
    assert image_indices(tuple(given), generation(images, made)) == indices


def test_image_indices_of_stored_generation() -> None:
    stored = generation(2, "ab")
    assert Generation.from_dict(stored.to_dict()) == stored
    assert image_indices(("b",), replace(stored, image_digests=("a", "b"))) == [1]


def test_image_digest_tells_pixels_and_shape() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert image_digest(pixels) == image_digest(pixels.copy())
    assert len({image_digest(each) for each in (pixels, pixels + 1, pixels.reshape(4, 2, 3))}) == 3
