"""Stars in a real server: any way of giving, correcting and taking back one costs no sampling."""

from __future__ import annotations

import http.client
import itertools
import json
import shutil
import socket
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from .client import Client, Refused, Run
from .examples import example, kinds
from .server import Server
from .workflow import Prompt, changed, node_id

FEEDBACK = "/intelligent_generation/feedback"
seeds = itertools.count(77_000)


def made(client: Client, words: str, **inputs: dict[str, Any]) -> tuple[Prompt, Run]:
    prompt = example(client, PromptAnalyze={"prompt": words}, IntelligentSampler={"seed": next(seeds)}, **inputs)
    return prompt, client.complete(prompt)


def shown(prompt: Prompt, run: Run) -> dict[str, Any]:
    return run.outputs[node_id(prompt, "Feedback")]["feedback"][0]


def text(prompt: Prompt, run: Run) -> str:
    return run.outputs[node_id(prompt, "Feedback")]["text"][0]


def stars(client: Client, identifier: str) -> list[int]:
    return [one["rating"] for one in client.get(f"/intelligent_generation/generations/{identifier}")["ratings"]]


def send_picture(server: Server, picture: bytes, kind: str = "image/png", **query: str) -> tuple[int, Any]:
    target = urllib.parse.urlparse(server.url)
    connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=60)
    connection.request("POST", f"{FEEDBACK}?{urllib.parse.urlencode(query)}", picture, {"Content-Type": kind})
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def test_star_on_unchanged_workflow_executes_nothing(client: Client) -> None:
    prompt, run = made(client, "the mirkwood witch by a well")
    name = shown(prompt, run)["generation_id"]
    for rating in (5, 3):
        client.post(FEEDBACK, {"generation_id": name, "rating": rating})
        assert client.run(prompt).executed == ()
    client.post(f"{FEEDBACK}/remove", {"generation_id": name})
    assert client.run(prompt).executed == ()


def test_rating_corrected_in_node_counts_and_samples_nothing(client: Client) -> None:
    prompt, run = made(client, "the mirkwood witch by a mill")
    for rating in (3, 5):
        rated = client.run(changed(prompt, {"Feedback": {"rating": rating}}))
        assert kinds(prompt, rated.executed) == {"Feedback"}
        assert text(prompt, rated).startswith(f"Rated {rating} of 5")
    assert kinds(prompt, client.run(changed(prompt, {"Feedback": {"rating": 0}})).executed) == {"Feedback"}
    assert stars(client, shown(prompt, run)["generation_id"]) == [5]


def test_rating_with_random_seed_is_of_the_picture_seen(client: Client) -> None:
    prompt, run = made(client, "the mirkwood witch by a lake")
    again = changed(prompt, {"IntelligentSampler": {"seed": next(seeds)}, "Feedback": {"rating": 4}})
    rated = client.complete(again)
    assert "the picture before this one" in text(prompt, rated)
    assert stars(client, shown(prompt, run)["generation_id"]) == [4]
    assert stars(client, shown(prompt, rated)["generation_id"]) == []


def test_picture_is_rated_by_any_of_its_names(client: Client, server: Server) -> None:
    prompt, run = made(client, "the mirkwood witch at dawn", SaveGeneration={"filename_prefix": "tests/stars"})
    ids = shown(prompt, run)
    (image,) = run.outputs[node_id(prompt, "SaveGeneration")]["images"]
    picture = client.view(image)
    names = [ids["generation_id"], ids["image_ids"][0], run.prompt_id]
    for rating, name in enumerate(names, 1):
        assert client.post(FEEDBACK, {"generation_id": name, "rating": rating})["rating"] == rating
    assert client.post(FEEDBACK, {"image": image, "rating": 4})["target_id"] == ids["image_ids"][0]
    assert send_picture(server, picture, rating="5", comments="dropped")[1]["comments"] == "dropped"
    history = client.get(f"/intelligent_generation/generations/{run.prompt_id}/history")
    assert [one["rating"] for one in history] == [1, 2, 3, 4, 5]
    assert client.post(f"{FEEDBACK}/remove", {"image": image})["removed"]
    assert not client.post(f"{FEEDBACK}/remove", {"generation_id": run.prompt_id})["removed"]
    assert stars(client, ids["generation_id"]) == []


@pytest.mark.parametrize(
    "body",
    [
        {"image": {"filename": "../../user/comfyui.db"}, "rating": 4},
        {"image": {"filename": "none.png", "type": "models"}, "rating": 4},
        {"image": "none.png", "rating": 4},
        {"picture": "none", "rating": 4},
        {"rating": 4},
    ],
)
def test_rating_of_no_picture_is_refused(client: Client, body: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        client.post(FEEDBACK, body)
    assert refused.value.status == 400


def test_picture_of_another_program_is_refused(server: Server) -> None:
    assert send_picture(server, b"no picture", rating="5")[0] == 400
    assert send_picture(server, b"\x89PNG", rating="five")[0] == 400
    assert send_picture(server, b"x", "text/plain", rating="5")[0] == 415


def test_picture_of_another_machine_is_rated(client: Client, server: Server, tmp_path: Path) -> None:
    """Its generation comes with its metadata, here made by version 0.1.0."""
    source = Path(__file__).parents[1] / "fixtures" / "v0.1.0" / "saved.png"
    status, answer = send_picture(server, source.read_bytes(), rating="2")
    assert (status, answer["rating"]) == (200, 2)
    shutil.copy(source, server.base / "output" / "from elsewhere.png")
    named = client.post(FEEDBACK, {"image": {"filename": "from elsewhere.png"}, "rating": 4})
    assert named["target_id"] == answer["target_id"]
    assert stars(client, answer["generation_id"]) == [4]
    client.post(f"{FEEDBACK}/remove", {"generation_id": answer["target_id"]})


def test_body_in_several_pieces_is_read_whole(client: Client, server: Server) -> None:
    prompt, run = made(client, "the mirkwood witch at noon")
    name = shown(prompt, run)["generation_id"]
    body = json.dumps({"generation_id": name, "rating": 4, "comments": "in pieces"}).encode()
    target = urllib.parse.urlparse(server.url)
    head = f"POST {FEEDBACK} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((str(target.hostname), target.port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode())
        for start in range(0, len(body), 20):
            client.get("/system_stats")  # the server has read the pieces before
            connection.sendall(body[start : start + 20])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert stars(client, name) == [4]
    client.post(f"{FEEDBACK}/remove", {"generation_id": name})
