"""Emoji pictures and their names, installed from npm and rendered at 128x128 in a folder outside the repository.

    python -m tests.tools.demo_model.pictures

Fluent Emoji flat, high contrast and 3D (MIT), Noto Emoji (Apache-2.0), names and keywords of emojibase (MIT).
"""

from __future__ import annotations

import io
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 128
STYLES = ("flat", "noto", "contrast", "3d")
BASE_STYLES = STYLES[:2]
"""The styles that the base model learns; the others are seen by LoRAs alone."""

CONCEPTS = 300
PACKAGES = (
    "@iconify-json/fluent-emoji-flat@1.2.6",
    "@iconify-json/fluent-emoji-high-contrast@1.2.6",
    "@lobehub/fluent-emoji-3d@1.1.0",
    "@iconify-json/noto@1.2.9",
    "emojibase-data@17.0.0",
)

WANTED = (
    *("woman mage", "fairy", "girl", "woman", "boy", "man", "mermaid", "vampire", "zombie", "Santa Claus", "ninja"),
    *("cat face", "dog face", "unicorn", "dragon", "crystal ball", "magic wand", "sparkles", "star", "red heart"),
    *("sunflower", "red apple", "pizza", "hamburger", "rocket", "automobile", "castle", "sun", "snowman", "guitar"),
    *("soccer ball", "sailboat", "house", "deciduous tree", "cactus", "owl", "butterfly", "octopus", "penguin"),
)
"""Concepts that are taken in any case."""

QUOTAS = {0: 22, 1: 52, 3: 74, 4: 52, 5: 44, 6: 20, 7: 60, 8: 8}
"""emojibase's group (faces, people, animals, food, travel, activities, objects, symbols) → at most so many concepts."""

LEFT_OUT = ("clock", "o’clock", "thirty", "arrow", "button", "keycap", "moon", "flag", "square", "circle", "diamond")


@dataclass(frozen=True)
class Concept:
    """A thing that has a picture in every style."""

    name: str
    hexcode: str
    """Lower case, without variation selectors."""
    group: int
    keywords: tuple[str, ...]


def home() -> Path:
    """Return the folder of everything that training downloads and makes; DEMO_TRAINING overrides it."""
    return Path(os.environ.get("DEMO_TRAINING", "~/.cache/demo_training")).expanduser()


def install(folder: Path) -> Path:
    """Install the packages once; return their `node_modules`."""
    modules = folder / "node_modules"
    if not (modules / "emojibase-data").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        options = ("--no-save", "--no-audit", "--no-fund", "--ignore-scripts")
        subprocess.run(("npm", "install", *options, *PACKAGES), cwd=folder, check=True)
    return modules


def _plain(hexcode: str) -> str:
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


class Drawings:
    """The four sets, by concept and style."""

    def __init__(self, modules: Path) -> None:
        self._icons: dict[str, dict[str, str]] = {}
        sets = (("flat", "fluent-emoji-flat"), ("contrast", "fluent-emoji-high-contrast"), ("noto", "noto"))
        for style, package in sets:
            folder = modules / "@iconify-json" / package
            icons = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
            names = json.loads((folder / "chars.json").read_text(encoding="utf-8"))
            self._icons[style] = {
                _plain(code): _svg(icons["icons"][name], icons)
                for code, name in names.items()
                if name in icons["icons"]
            }
        assets = (modules / "@lobehub" / "fluent-emoji-3d" / "assets").glob("*.webp")
        self._files = {_plain(path.stem): path for path in assets}
        self._labels = json.loads((modules / "emojibase-data/en/data.json").read_text(encoding="utf-8"))

    def concepts(self) -> list[Concept]:
        """Return every concept that all four sets draw."""
        found = []
        for row in self._labels:
            code = _plain(row["hexcode"])
            if code in self._files and all(code in icons for icons in self._icons.values()):
                found.append(Concept(row["label"], code, row.get("group", 8), tuple(row.get("tags", ()))))
        return found

    def draw(self, concept: Concept, style: str) -> Image.Image:
        """Return the picture on white, 128x128 RGB."""
        if style == "3d":
            picture = Image.open(self._files[concept.hexcode]).convert("RGBA")
        else:
            import resvg_py

            svg = self._icons[style][concept.hexcode]
            data = resvg_py.svg_to_bytes(svg_string=svg, width=SIDE, skip_system_fonts=True, background="#fff")
            picture = Image.open(io.BytesIO(bytes(data))).convert("RGBA")
        white = Image.new("RGBA", (max(picture.size),) * 2, "white")
        corner = ((white.width - picture.width) // 2, (white.height - picture.height) // 2)
        white.alpha_composite(picture, corner)
        return white.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _svg(icon: dict[str, Any], icons: dict[str, Any]) -> str:
    width, height = (icon.get(side, icons[side]) for side in ("width", "height"))
    body = icon["body"].replace("currentColor", "#212121")
    view = f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}" width="{width}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {view}>{body}</svg>'


def choose(concepts: list[Concept], thumbnails: np.ndarray) -> list[int]:
    """Return indices of concepts that differ to the eye: each next one is farthest from those chosen.

    `thumbnails`: (concepts, values), the pictures of the base styles at 16x16.
    """
    names = [concept.name for concept in concepts]
    missing = [name for name in WANTED if name not in names]
    if missing:
        raise ValueError(f"no concept is named {missing}")
    chosen = [names.index(name) for name in WANTED]
    left = dict(QUOTAS)
    for index in chosen:
        left[concepts[index].group] -= 1
    possible = [
        index
        for index, concept in enumerate(concepts)
        if index not in chosen and not any(word in concept.name for word in LEFT_OUT)
    ]
    nearest = np.min([_distance(thumbnails, index) for index in chosen], axis=0)
    while len(chosen) < CONCEPTS:
        open_ones = [index for index in possible if left.get(concepts[index].group, 0) > 0]
        index = max(open_ones, key=lambda one: nearest[one])
        possible.remove(index)
        chosen.append(index)
        left[concepts[index].group] -= 1
        nearest = np.minimum(nearest, _distance(thumbnails, index))
    return chosen


def _distance(thumbnails: np.ndarray, index: int) -> np.ndarray:
    return np.square(thumbnails - thumbnails[index]).mean(axis=1)


@dataclass(frozen=True)
class Pictures:
    """All concepts that four sets draw; those that the model learns come first."""

    concepts: list[Concept]
    values: np.ndarray
    """uint8, (concepts, styles, 128, 128, 3)."""

    @property
    def held_out(self) -> np.ndarray:
        """Indices of concepts that no part of the model has seen."""
        return np.arange(len(self.concepts) - 100, len(self.concepts))


def load() -> Pictures:
    """Return the pictures, rendered on first use (some five minutes)."""
    folder = home()
    index, values = folder / "concepts.json", folder / "pictures.npy"
    if not index.exists():
        _render(folder, index, values)
    concepts = [
        Concept(**{**row, "keywords": tuple(row["keywords"])}) for row in json.loads(index.read_text(encoding="utf-8"))
    ]
    return Pictures(concepts, np.load(values, mmap_mode="r"))


def _render(folder: Path, index: Path, values: Path) -> None:
    drawings = Drawings(install(folder))
    concepts = drawings.concepts()
    drawn = np.stack([[np.asarray(drawings.draw(concept, style)) for style in STYLES] for concept in concepts])
    side = SIDE // 16
    small = drawn[:, : len(BASE_STYLES)].reshape(len(concepts), len(BASE_STYLES), 16, side, 16, side, 3)
    chosen = choose(concepts, small.mean(axis=(3, 5)).reshape(len(concepts), -1))
    rest = [number for number in range(len(concepts)) if number not in chosen]
    order = chosen + list(np.random.default_rng(0).permutation(rest))
    np.save(values, drawn[order])
    index.write_text(json.dumps([vars(concepts[number]) for number in order], indent=1), encoding="utf-8")


def sheet(pictures: np.ndarray, columns: int) -> Image.Image:
    """Return (count, height, width, 3) pictures side by side."""
    count, height, width, _ = pictures.shape
    rows = -(-count // columns)
    whole = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        whole[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    return Image.fromarray(whole)


if __name__ == "__main__":
    loaded = load()
    print(len(loaded.concepts), "concepts;", ", ".join(concept.name for concept in loaded.concepts[:CONCEPTS]))
    first = loaded.values[:CONCEPTS, 0, ::2, ::2]
    sheet(first, 25).save(home() / "flat.png")
    sheet(loaded.values[:CONCEPTS, 1, ::2, ::2], 25).save(home() / "noto.png")
