"""`look_of`: eight numbers of a picture."""

import numpy as np
import pytest

from intelligence.pictures.look import Look, look_of

pytestmark = pytest.mark.unit


def plain(*colour, size=(100, 60)):
    return np.full((size[1], size[0], 3), colour, np.uint8)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (plain(0, 0, 0), Look(0, 0, 0, 0, 0, 0, 0, 0)),
        (plain(255, 255, 255), Look(255, 0, 0, 0, 0, 0, 0, 0)),
        (plain(200, 100, 0), Look(114, 0, 54, 200, 0, 0, 0, 0)),
        (plain(0, 100, 0), Look(72, 0, 34, 0, 100, 0, 0, 0)),
    ],
)
def test_look_of_one_colour(pixels, expected):
    assert look_of(pixels) == expected


def test_look_tells_where_light_is():
    pixels = plain(0, 0, 0, size=(64, 64))
    pixels[:32] = 255
    assert look_of(pixels).top == 255
    pixels = plain(0, 0, 0, size=(64, 64))
    pixels[16:48, 16:48] = 255
    found = look_of(pixels)
    assert (found.centre, found.top) == (255, 0)


def test_look_tells_detail_from_smoothness():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    blocks = np.repeat(np.repeat(noise[:4, :4], 16, 0), 16, 1)
    assert look_of(noise).detail > 5 * look_of(blocks).detail


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (3000, 2)])
def test_look_of_any_size(size):
    assert look_of(plain(10, 10, 10, size=size))[:4] == (10, 0, 0, 0)


def test_look_hardly_depends_on_resolution():
    small = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    large = np.repeat(np.repeat(small, 16, 0), 16, 1)
    apart = np.abs(np.subtract(look_of(np.repeat(np.repeat(small, 2, 0), 2, 1)), look_of(large)))
    assert apart.max() <= 1
