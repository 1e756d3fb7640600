"""A server that has never run: no checkpoint, no LoRA, no data folder yet, or one that cannot be used."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from intelligence.generation.embedded_weights import NATIVE_SIDE

from .client import Client
from .examples import AUTO, SUGGESTIONS, example, ui_workflow
from .locate import Installation
from .server import Server
from .workflow import node_id, to_prompt

WITCH = "the mirkwood witch in a forest"


@pytest.fixture(scope="module")
def fresh(fresh_server: Server) -> Client:
    """The API of the server, just started."""
    fresh_server.start()
    return fresh_server.client


@pytest.mark.parametrize(("name", "saver"), [(AUTO, "SaveGeneration"), (SUGGESTIONS, "SaveImage")])
def test_template_makes_first_picture(
    fresh: Client, name: str, saver: str, record_property: Callable[[str, object], None]
) -> None:
    """As it is saved, at the demo model's own size: AUTO first, with the model and its LoRAs made for it."""
    start = time.monotonic()
    prompt = to_prompt(ui_workflow(name), fresh.object_info())
    run = fresh.complete(prompt)
    record_property(f"seconds to the first picture of {name!r}", round(time.monotonic() - start, 1))
    (entry,) = run.outputs[node_id(prompt, saver)]["images"]
    width, height = Image.open(io.BytesIO(fresh.view(entry))).size
    assert 0.8 < width * height / NATIVE_SIDE**2 < 1.2
    assert [item["name"] for item in run.outputs[node_id(prompt, "LoRARecommend")]["suggestions"]]


def test_broken_store_costs_no_image(fresh_server: Server, fresh: Client) -> None:
    """The ratings' database is damaged between two starts: it is set aside, the image made, the explanation says so."""
    prompt = example(fresh, PromptAnalyze={"prompt": WITCH}, IntelligentSampler={"seed": 21})
    fresh.complete(prompt)
    fresh_server.stop()
    store = fresh_server.home / "learning.db"
    store.write_bytes(b"not a database" * 1000)
    for leftover in store.parent.glob("learning.db-*"):
        leftover.unlink()
    fresh_server.start()
    run = fresh_server.client.complete(prompt)
    assert "learning.db" in run.outputs[node_id(prompt, "Explain")]["text"][0]
    (aside,) = store.parent.glob("learning.db.damaged-*")
    assert aside.read_bytes().startswith(b"not a database")


def test_unwritable_data_folder_is_named(installation: Installation, tmp_path: Path) -> None:
    blocker = tmp_path / "a file"
    blocker.write_text("in the way")
    home = {"INTELLIGENT_GENERATION_HOME": str(blocker / "home")}
    with Server(tmp_path / "base", installation, environment=home, checkpoints=False).running() as server:
        run = server.client.run(example(server.client, PromptAnalyze={"prompt": WITCH}))
    assert run.status == "error"
    assert "home/embedded" in run.error and str(blocker) not in run.error
    assert "INTELLIGENT_GENERATION_HOME" in run.error
    assert str(blocker) in server.log()


def test_record_is_written_beside_unless_switched_off(fresh_server: Server, fresh: Client) -> None:
    output = fresh_server.base / "output"
    written = []
    for beside in (True, False):
        before = {*output.rglob("*")}
        pattern = "%model% %sampler% %cfg% %loras%"
        fresh.complete(
            example(
                fresh,
                PromptAnalyze={"prompt": WITCH},
                IntelligentSampler={"seed": 23},
                SaveGeneration={"filename_prefix": pattern, "record_beside": beside},
            )
        )
        written.append({path.suffix: path for path in {*output.rglob("*")} - before})
    assert [sorted(each) for each in written] == [[".json", ".png"], [".png"]]
    assert "intelligent_generation" in Image.open(written[1][".png"]).info
    record = json.loads(written[0][".json"].read_text(encoding="utf-8"))
    settings = record["plan"]["recommendations"]["suggested_params"]
    name = written[0][".png"].name
    assert "%" not in name and f" {settings['sampler_name']} {settings['guidance_scale']:g} " in name


def test_disabled_metadata_is_neither_inside_nor_beside_a_picture(fresh_server: Server, fresh: Client) -> None:
    output = fresh_server.base / "output"
    before = {*output.rglob("*")}
    fresh_server.stop()
    fresh_server.arguments = ("--disable-metadata",)
    try:
        fresh_server.start()
        prompt = example(fresh_server.client, PromptAnalyze={"prompt": WITCH}, IntelligentSampler={"seed": 22})
        fresh_server.client.complete(prompt)
    finally:
        fresh_server.arguments = ()
    (picture,) = {*output.rglob("*")} - before
    assert (picture.suffix, Image.open(picture).info) == (".png", {})
