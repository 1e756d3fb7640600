from __future__ import annotations

import pytest

from intelligence.models.kinds import LoRAKind
from intelligence.models.name_patterns import lora_kind


@pytest.mark.parametrize(
    "name, tags, description, expected",
    [
        ("sdxl_lightning_4step_lora", [], "", LoRAKind.SPEED),
        ("Hyper-SDXL-8steps-lora", [], "", LoRAKind.SPEED),
        ("lcm-lora-sdxl", [], "", LoRAKind.SPEED),
        ("lightning_magic", ["effect"], "", LoRAKind.EFFECT),
        ("lightning_storm", ["style"], "", LoRAKind.STYLE),
        ("xyz", ["anime", "character"], "an art style", LoRAKind.CHARACTER),
        ("ghibliStyle_v2", [], "", LoRAKind.STYLE),
        ("add-detail-xl", [], "", LoRAKind.EFFECT),
        ("xyz", [], "A character from a game", LoRAKind.CHARACTER),
        ("xyz", [], "Summer dress for everybody", LoRAKind.CONCEPT),
        ("Bun Hairstyle", ["realistic", "style"], "", LoRAKind.CONCEPT),
        ("A1 filter", ["anime", "style"], "", LoRAKind.EFFECT),
        ("short_hair_style", [], "", LoRAKind.CONCEPT),
        ("Dress-up doll art style", ["style"], "", LoRAKind.STYLE),
        ("xyz", [], "", LoRAKind.UNKNOWN),
    ],
)
def test_lora_kind(name: str, tags: list[str], description: str, expected: LoRAKind) -> None:
    assert lora_kind([name], tags, description).value == expected
