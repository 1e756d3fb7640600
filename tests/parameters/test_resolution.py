"""Sizes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelligence.errors import InvalidInputError
from intelligence.parameters.resolution import MIN_AREA, NATIVE_SIDES, SDXL_BUCKETS, buckets, choose_size, smaller_sizes
from intelligence.prompt import ContentType


@pytest.mark.parametrize(
    ("content", "aspect", "native", "size"),
    [
        (ContentType.PORTRAIT, "auto", "sdxl", (832, 1216)),
        (ContentType.CHARACTER, "auto", "sdxl", (832, 1216)),
        (ContentType.LANDSCAPE, "auto", "sdxl", (1216, 832)),
        (ContentType.VEHICLE, "auto", "sdxl", (1216, 832)),
        (ContentType.FOOD, "auto", "sdxl", (1024, 1024)),
        (ContentType.UNSPECIFIED, "auto", "sdxl", (1024, 1024)),
        (ContentType.PORTRAIT, "1:1", "sdxl", (1024, 1024)),
        (ContentType.PORTRAIT, "16:9", "sdxl", (1344, 768)),
        (ContentType.PORTRAIT, "9:16", "sdxl", (768, 1344)),
        (ContentType.FOOD, "3:2", "sdxl", (1216, 832)),
        (ContentType.FOOD, " 4:1 ", "sdxl", (2048, 512)),
        (ContentType.FOOD, "Portrait", "512", (416, 608)),
        (ContentType.LANDSCAPE, "auto", "768", (912, 624)),
        (ContentType.FOOD, "square", "512", (512, 512)),
        (ContentType.CHARACTER, "auto", "demo", (96, 160)),
        (ContentType.LANDSCAPE, "auto", "demo", (160, 96)),
        (ContentType.FOOD, "5:4", "demo", (128, 128)),
    ],
)
def test_choose_size(content, aspect, native, size):
    width, height, reason = choose_size(content, aspect, native)
    assert (width, height) == size
    assert reason.setting == "size"


@pytest.mark.parametrize("aspect", ["", "0:1", "1:0", "5:1", "1:5", "widescreen", "16:9:1", "-1:1", None, 1.5])
def test_choose_size_refuses_wrong_aspect(aspect):
    with pytest.raises(InvalidInputError, match="aspect"):
        choose_size(ContentType.FOOD, aspect)


def test_buckets_have_mirrors():
    assert len(SDXL_BUCKETS) == 41
    assert {(height, width) for width, height in SDXL_BUCKETS} == set(SDXL_BUCKETS)


@pytest.mark.parametrize("native", NATIVE_SIDES)
def test_buckets_have_native_area_and_fit_latent(native):
    for width, height in buckets(native):
        assert 0.78 < width * height / NATIVE_SIDES[native] ** 2 < 1.01
        assert width % 16 == height % 16 == 0


@given(st.sampled_from([size for native in NATIVE_SIDES for size in buckets(native)]))
def test_smaller_sizes_keep_aspect_and_area(size):
    width, height = size
    found = smaller_sizes(width, height)
    areas = [w * h for w, h in found]
    assert areas == sorted(areas, reverse=True)
    for w, h in found:
        assert MIN_AREA <= w * h / (width * height) < 1
        assert abs(math.log(w / h / (width / height))) <= 0.06
        assert w % 32 == h % 32 == 0


def test_smaller_sizes_of_square():
    assert smaller_sizes(1024, 1024)[0] == (992, 1024) or smaller_sizes(1024, 1024)[0] == (1024, 992)
    assert (928, 928) in smaller_sizes(1024, 1024)
