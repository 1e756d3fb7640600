"""Ratings in a real server: they change choices, say so, leave no trace when taken back; and broken databases."""

from __future__ import annotations

import io
import itertools
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from PIL import Image

from . import loras
from .client import LIBRARY, Client, Prompt, Refused, Run
from .examples import example
from .server import Server
from .workflow import changed, node_id

FEEDBACK, LEARNED = "/intelligent_generation/feedback", "/intelligent_generation/learned"
HEADER = {
    "modelspec.tags": "style, gouache, painting",
    "modelspec.trigger_phrase": "gouache painting",
    "ss_tag_frequency": json.dumps({"10_gouache": {"gouache painting": 90, "gouache": 85, "flat colors": 40}}),
}
TWINS = ("heron", "rook")
WORDS = "gouache painting of a lighthouse on a cliff"
IMAGES = 6
seeds = itertools.count(88_000)


@pytest.fixture
def twins(server: Server, client: Client) -> Iterator[None]:
    """Two LoRAs of other content that fit a prompt equally well."""
    folder = server.base / "models" / "loras"
    library = tuple(loras.LoRA(f"{name}.safetensors", {**HEADER, "note": name}, loras.DEMO) for name in TWINS)
    loras.make(folder, library)
    client.post(f"{LIBRARY}/rescan")
    client.library_after_scan()
    yield
    for name in TWINS:
        (folder / f"{name}.safetensors").unlink()
    client.post(f"{LIBRARY}/rescan")
    client.library_after_scan()


def made(client: Client, **inputs: dict[str, Any]) -> tuple[Prompt, Run]:
    prompt = example(
        client,
        PromptAnalyze=inputs.pop("PromptAnalyze", {"prompt": WORDS}),
        LoRARecommend={"max_loras": 1, **inputs.pop("LoRARecommend", {})},
        IntelligentSampler={"seed": next(seeds)},
        **inputs,
    )
    return prompt, client.complete(prompt)


def choice(prompt: Prompt, run: Run) -> tuple[str, Any]:
    found = run.outputs[node_id(prompt, "LoRARecommend")]
    return found["suggestions"][0]["name"], (found["suggestions"], found["rejected"], found["text"])


def images(prompt: Prompt, run: Run) -> list[str]:
    return run.outputs[node_id(prompt, "Feedback")]["feedback"][0]["image_ids"]


def pixels(client: Client, prompt: Prompt, run: Run) -> np.ndarray:
    (image,) = run.outputs[node_id(prompt, "SaveGeneration")]["images"]
    return np.asarray(Image.open(io.BytesIO(client.view(image))))


def test_twelve_ratings_flip_the_choice_and_removing_them_flips_it_back(client: Client, twins: None) -> None:
    client.post(f"{LEARNED}/reset", {"all": True})  # what other tests left
    prompt, first = made(client)
    name, before = choice(prompt, first)
    other = next(twin for twin in TWINS if twin != name)
    rated = []
    for lora, stars in ((name, 1), (other, 5)):
        selected = {"selection": json.dumps([lora])}
        graph, run = made(client, LoRARecommend=selected, ParamOptimize={"images": IMAGES})
        for image in images(graph, run):
            answer = client.post(FEEDBACK, {"generation_id": image, "rating": stars})
            rated.append(image)
        assert answer["learned"]
    assert len(rated) == 12

    flipped = client.complete(prompt)
    now, told = choice(prompt, flipped)
    assert now == other
    assert "5, 5" in told[0][0]["reasoning"]
    assert (pixels(client, prompt, flipped) != pixels(client, prompt, first)).any()
    (liked,) = [one for one in client.get(LEARNED)["loras"] if one["name"] == other]
    assert (liked["stars"], liked["effect"] > 0) == ([5] * IMAGES, True)

    for image in rated:
        assert client.post(f"{FEEDBACK}/remove", {"generation_id": image})["removed"]
    back = client.complete(prompt)
    again, told = choice(prompt, back)
    assert (again, told[:2]) == (name, before[:2])
    assert (pixels(client, prompt, back) == pixels(client, prompt, first)).all()


def test_learned_is_paused_reset_exported_and_forgotten(client: Client) -> None:
    prompt, run = made(client, PromptAnalyze={"prompt": "the mirkwood witch, quietly"})
    (image,) = images(prompt, run)
    client.post(FEEDBACK, {"generation_id": image, "rating": 1})
    export = client.get(f"{LEARNED}/export")
    assert image in json.dumps(export)
    assert client.post(LEARNED, {"paused": True})["loras"] == []
    assert client.post(LEARNED, {"paused": False})["loras"]
    lora = next(one["lora"] for one in client.get(LEARNED)["loras"] if one["name"] == "mirkwood_witch")
    assert client.post(f"{LEARNED}/reset", {"lora": lora})["reset"] >= 1
    assert "mirkwood_witch" not in [one["name"] for one in client.get(LEARNED)["loras"]]
    assert client.post(f"{LEARNED}/forget", {"prompt": "The mirkwood witch,  quietly"}) == {"forgotten": 1}
    with pytest.raises(Refused):
        client.get(f"/intelligent_generation/generations/{image}")
    assert client.post(f"{LEARNED}/import", export)["generations"] == 1
    client.post(f"{LEARNED}/forget", {"generation_id": image})
    for body in ({}, {"lora": 5}, {"lora": "nobody"}):
        with pytest.raises(Refused) as refused:
            client.post(f"{LEARNED}/reset", body)
        assert refused.value.status in (400, 404)


def test_acts_beside_stars_are_noticed_and_taken_back(client: Client) -> None:
    for place in ("well", "gate"):
        made(
            client,
            PromptAnalyze={"prompt": f"the mirkwood witch at a {place}"},
            LoRARecommend={"mode": "ASSISTED", "selection": "[]"},
            ParamOptimize={"cfg": 4.0},
        )
    acts = client.get(LEARNED)["acts"]
    found = {(one["kind"], one["subject"].rpartition(":")[2].rpartition("/")[2]): one["number"] for one in acts}
    edits = [found["setting", "cfg"], found["removed", "mirkwood_witch.safetensors"]]
    assert client.post(f"{LEARNED}/drop", {"numbers": edits}) == {"dropped": 2}

    prompt, run = made(client, LoRARecommend={"variations": 2})
    first, _ = run.outputs[node_id(prompt, "Feedback")]["feedback"]
    assert client.post(f"{FEEDBACK}/pick", {"generation_id": first["image_ids"][0]})["noticed"]
    (picked,) = [one for one in client.get(LEARNED)["acts"] if one["kind"] == "picked"]
    assert (picked["generation_id"], picked["slot"], picked["propensity"]) == (first["generation_id"], 0, 0.5)
    assert client.post(LEARNED, {"heeds_acts": False})["heeds_acts"] is False
    assert client.post(LEARNED, {"heeds_acts": True})["heeds_acts"] is True
    assert client.post(f"{LEARNED}/drop", {"all": True})["dropped"]
    with pytest.raises(Refused):
        client.post(f"{LEARNED}/drop", {})


def test_pictures_are_made_whatever_is_wrong_with_the_databases(server: Server, client: Client) -> None:
    """Damaged under the running server, each set aside; the note says so, and the next rating is stored."""
    prompt, run = made(client, PromptAnalyze={"prompt": "the mirkwood witch among ruins"})
    (image,) = images(prompt, run)
    client.post(FEEDBACK, {"generation_id": image, "rating": 4})
    for name in ("learning.db", "registry.db"):
        with closing(sqlite3.connect(server.home / name)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        content = bytearray((server.home / name).read_bytes())
        content[:100] = os.urandom(100)
        (server.home / "damaged").write_bytes(content)
        (server.home / "damaged").replace(server.home / name)
    again = client.complete(changed(prompt, {"IntelligentSampler": {"seed": next(seeds)}}))
    assert choice(prompt, again)[0] == "mirkwood_witch"
    assert len(list(server.home.glob("*.db.damaged-*[0-9]"))) == 2
    once_more = client.complete(changed(prompt, {"PromptAnalyze": {"prompt": "the mirkwood witch among old ruins"}}))
    told = choice(prompt, once_more)[1][2][0]
    assert "learning.db was damaged and was made anew" in told and "registry.db was damaged" in told
    assert client.post(FEEDBACK, {"generation_id": images(prompt, once_more)[0], "rating": 5})["rating"] == 5
