from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelligence.models.fields import strengths_in, trigger_sets
from intelligence.models.name_patterns import words_of
from intelligence.models.sanitize import clean_text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Recommended strength: 0.6-0.8", {"strength_range": (0.6, 0.8), "strength": 0.7}),
        ("weight of 0.7 works best", {"strength": 0.7}),
        ("weights .5 to 1", {"strength_range": (0.5, 1.0), "strength": 0.75}),
        ("fuerza 0,8", {"strength": 0.8}),
        ("<lora:fern_v1:0.65> in the prompt", {"strength": 0.65}),
        ("I like 0.6~0.8 best", {"strength_range": (0.6, 0.8), "strength": 0.7}),
        ("denoising strength 0.4-0.6, weight 0.9", {"strength": 0.9}),
        ("hires 0.3-0.5. A 0.8 weight is fine", {"strength": 0.8}),
        ("a slider: -3 to 3", {"strength_range": (-3.0, 3.0)}),
        ("goes from -5...+8", {"strength_range": (-5.0, 8.0), "strength": 1.5}),
        ("made on 2023-01-05", {}),
        ('ss_sd_model_name: "stabilityai/stable-diffusion-2-1"', {}),
        ("trained on sd-2-1, weight 0.7", {"strength": 0.7}),
        ("between -2 and 4 degrees outside", {}),
        ("it took 0.5-0.8 hours", {}),
        ("The range is -1 to 1. Works with any model", {}),
        ("recomendado entre 0.6 - 0.8", {"strength_range": (0.6, 0.8), "strength": 0.7}),
        ("weight 768, version 1.5", {}),
        ("use it at 512x768", {}),
        ("lightweight 100 steps", {}),
        ("", {}),
    ],
)
def test_strengths_in(text: str, expected: dict[str, Any]) -> None:
    assert strengths_in(text) == (expected and expected | {"strength_from_text": True})


@given(st.text())
def test_clean_text_can_be_encoded(text: str) -> None:
    clean_text(text + "\ud800").encode()
    assert words_of(text) == words_of(words_of(text))


def test_trigger_sets_of_empty_phrases() -> None:
    assert trigger_sets([None, "", " , ", "<lora:a:1>"], "x") == ()
