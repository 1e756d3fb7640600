"""Graphs made from pictures, and pictures rated from their files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from intelligence import InvalidInputError, LearningEngine
from intelligence.generation.image_file import Metadata, save_picture
from intelligence.generation.picture_graph import picture_graph
from intelligence.generation.picture_history import picture_of, picture_record, remembered
from intelligence.pictures.picture_info import PictureInfo, UsedLoRA
from tests.generation.test_image_file import NEGATIVE, PROMPT, generation

pytestmark = pytest.mark.unit

TEMPLATE = Path(__file__).parent.parent.parent / "example_workflows" / "Prompt to picture.json"


def test_picture_graph_has_the_inputs_of_the_template() -> None:
    nodes = json.loads(TEMPLATE.read_text(encoding="utf-8"))["nodes"]
    known = {node["type"]: {slot["name"] for slot in node.get("inputs", ())} for node in nodes}
    known["CheckpointLoaderSimple"] = {"ckpt_name"}
    graph = picture_graph(PictureInfo("A1111", "a fox", model="x.safetensors"))
    assert {node["class_type"] for node in graph.values()} == {*known} - {"CheckpointOrFirst", "MarkdownNote"}
    for node in graph.values():
        assert {*node["inputs"]} <= known[node["class_type"]]
        links = [value[0] for value in node["inputs"].values() if isinstance(value, list)]
        assert {*links} <= {*graph}


@pytest.mark.parametrize(
    ("told", "used"),
    [
        (("dpmpp_2m", "karras"), ("dpmpp_2m", "karras")),
        (("DPM++ 2M", "Karras"), ("dpmpp_2m", "karras")),
        (("DPM++ 2M Karras", ""), ("dpmpp_2m", "karras")),
        (("Euler a", ""), ("euler_ancestral", "auto")),
        (("Nobody's", "own"), ("auto", "auto")),
        (("", ""), ("auto", "auto")),
    ],
)
def test_picture_graph_names_samplers(told: tuple[str, str], used: tuple[str, str]) -> None:
    graph = picture_graph(PictureInfo("A1111", "x", settings={"sampler": told[0], "scheduler": told[1]}))
    settings = graph["6"]["inputs"]
    assert (settings["sampler"], settings["scheduler"]) == used


@pytest.mark.parametrize("keep", [Metadata.ALL, Metadata.INSIDE])
@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_picture_of_our_own(tmp_path: Path, suffix: str, keep: Metadata) -> None:
    path = save_picture(tmp_path / f"x{suffix}", Image.new("RGB", (64, 96)), generation(), 1, keep=keep).path
    info = picture_of(path, picture_record(path))
    assert (info.program, info.prompt, info.negative_prompt) == ("Intelligent Generation", PROMPT, NEGATIVE)
    assert info.loras == (UsedLoRA("style", 0.8), UsedLoRA("name with spaces", 0.5), UsedLoRA("negative", -0.5))
    graph = picture_graph(info)
    assert json.loads(graph["3"]["inputs"]["selection"])[2] == {"lora": "negative", "strength": -0.5}
    assert graph["8"]["inputs"]["seed"] == 2**64 - 1
    assert graph["2"]["inputs"] == {"ckpt_name": "models, mine.safetensors"}


def test_picture_record_beside_a_jpeg_without_room(tmp_path: Path) -> None:
    comfy = {"workflow": {"x": "y" * 64_000}}
    path = save_picture(tmp_path / "x.jpg", Image.new("RGB", (8, 8)), generation(), comfy=comfy).path
    record = picture_record(path)
    assert record is not None and record["image_id"] == "abc-0"


def test_remembered_stores_a_picture_from_elsewhere(tmp_path: Path) -> None:
    learning = LearningEngine(tmp_path / "learning.db")
    path = save_picture(tmp_path / "x.png", Image.new("RGB", (8, 8)), generation(), 1).path
    assert remembered(path, learning) == remembered(path.with_suffix(".json"), learning) == "abc-1"
    learning.record_feedback("abc-1", 5)
    assert [rating.rating for rating in learning.ratings("abc")] == [5]


def test_remembered_refuses_pictures_of_others(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    with pytest.raises(InvalidInputError, match="not made by"):
        remembered(tmp_path / "x.png", LearningEngine(tmp_path / "learning.db"))
