"""Sheet of what the shipped demo model draws, made by the product.

    python -m tests.tools.demo_model.show_model .github/pictures/demo.png

Two rows of things in each style, then one thing with each LoRA that has a look of its own, at its recommended strength.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from intelligence import IntelligentGenerationPipeline, PipelineConfig

from .pictures import BASE_STYLES, sheet

THINGS = (
    *("woman mage", "fairy", "cat face", "penguin", "octopus", "butterfly", "unicorn", "snowman"),
    *("red apple", "pizza", "sunflower", "rocket", "automobile", "sailboat", "castle", "guitar"),
)
COLUMNS = 8
LORAS = ("", "magic_effects", "night_glow", "pixel_art", "blueprint", "fluent_3d", "high_contrast", "lightning_4step")
THING = "sunflower"


def asked() -> list[tuple[str, list[str]]]:
    """Return prompts with the names of their LoRAs, in the order of the sheet."""
    plain: list[tuple[str, list[str]]] = [(f"{thing}, {style} emoji", []) for style in BASE_STYLES for thing in THINGS]
    return plain + [(f"{THING}, flat emoji", [name] if name else []) for name in LORAS]


def drawn() -> np.ndarray:
    """Return the pictures, (count, 128, 128, 3) bytes."""
    pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"))
    made = [pipeline.generate(prompt, seed=0, loras=loras, aspect="square") for prompt, loras in asked()]
    return np.stack([np.asarray(result.image.convert("RGB")) for result in made])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    sheet(drawn(), COLUMNS).save(parser.parse_args().file)
