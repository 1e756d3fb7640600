"""A page's variations on the servers of `config.json`, here the server itself: made in the background, found, rated."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from intelligence.generation.picture_history import picture_record

from .client import Client, Prompt, Refused
from .examples import example
from .server import Server

BATCH = "/intelligent_generation/batch"
PROMPT = "anime girl with magical powers, as a batch of the page"


@pytest.fixture
def configured(server: Server) -> Iterator[Server]:
    with server.configured(comfyui_servers=[server.url]):
        yield server


def graph(client: Client, **edits: dict[str, Any]) -> Prompt:
    prompt = {"PromptAnalyze": {"prompt": PROMPT}, "IntelligentSampler": {"seed": 40}}
    return example(client, **{kind: {**prompt.get(kind, {}), **edits.get(kind, {})} for kind in {*prompt, *edits}})


def ended(client: Client, seconds: float = 180) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while (state := client.get(BATCH))["running"]:
        assert time.monotonic() < until, state
        time.sleep(0.2)
    return state


def test_variations_are_made_and_found_in_history(configured: Server) -> None:
    client = configured.client
    asked = graph(client, ParamOptimize={"variations": 2, "images": 2})
    begun = client.post(BATCH, {"prompt": asked})
    assert (begun["total"], begun["servers"]) == (4, 1)
    state = ended(client)
    assert (state["done"], state["failed"], state["problem"]) == (4, 0, "")
    folder = configured.base / "output" / Path(state["folder"])
    records = [picture_record(path) or {} for path in sorted(folder.glob("*.png"))]
    assert [record["seed"] for record in records] == [40, 41, 40, 41]
    settings = [record["plan"]["recommendations"]["suggested_params"] for record in records]
    assert settings[0] != settings[2]
    known = {image for one in client.get("/intelligent_generation/generations?limit=500") for image in one["image_ids"]}
    assert {record["image_id"] for record in records} <= known
    image = records[0]["image_id"]
    assert client.post("/intelligent_generation/feedback", {"generation_id": image, "rating": 4})["rating"] == 4
    client.post("/intelligent_generation/feedback/remove", {"generation_id": image})
    assert (configured.home / "thumbnails" / f"{image}.webp").is_file()
    client.post(BATCH, {"prompt": asked})
    assert (ended(client)["done"], len(list(folder.glob("*.png")))) == (4, 4)


def test_batch_is_cancelled(configured: Server) -> None:
    client = configured.client
    client.post(BATCH, {"prompt": graph(client, ParamOptimize={"steps": 400, "images": 3})})
    with pytest.raises(Refused, match="being made"):
        client.post(BATCH, {"prompt": graph(client)})
    client.post(f"{BATCH}/cancel", {})
    assert ended(client)["done"] == 0
    assert client.get("/queue")["queue_running"] == []


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"IntelligentSampler": {"scout": 4}}, "scouting"),
        ({"LoRARecommend": {"mode": "ASSISTED", "selection": ""}}, "confirm"),
        ({"ParamOptimize": {"steps": ["1", 0]}}, "steps must be typed"),
        ({"PromptAnalyze": {"prompt": ""}}, "prompt"),
        ({"ParamOptimize": {"priority": "NEVER"}}, "NEVER"),
    ],
)
def test_workflow_that_cannot_be_carried_out_is_refused(
    configured: Server, edits: dict[str, dict[str, Any]], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        configured.client.post(BATCH, {"prompt": graph(configured.client, **edits)})


def test_batch_needs_servers_and_known_nodes(server: Server) -> None:
    with pytest.raises(Refused, match="no server is configured"):
        server.client.post(BATCH, {"prompt": graph(server.client)})


def test_other_nodes_are_named(configured: Server) -> None:
    asked = graph(configured.client)
    (sampler,) = [node for node in asked.values() if node["class_type"] == "IntelligentSampler"]
    asked["other"] = {"class_type": "LoraLoader", "inputs": {}}
    sampler["inputs"]["model"] = ["other", 0]
    with pytest.raises(Refused, match="LoraLoader is not carried out"):
        configured.client.post(BATCH, {"prompt": asked})
