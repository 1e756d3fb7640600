"""Ratings of several users of one server: a taste for each."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from intelligence.learning import LearningEngine

from . import locate
from .server import Server

LEARNED = "/intelligent_generation/learned"


@pytest.fixture(scope="module")
def shared_server(installation: locate.Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with --multi-user, this pack alone and no model."""
    server = Server(tmp_path_factory.mktemp("users"), installation, arguments=("--multi-user",), checkpoints=False)
    with server.running():
        yield server


def ask(server: Server, path: str, body: Any = None, user: str = "") -> Any:
    headers = {"Content-Type": "application/json", **({"comfy-user": user} if user else {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return json.loads(answer.read())


def rated_elsewhere(folder: Path) -> dict[str, Any]:
    """An export with one rated generation `g`."""
    with closing(LearningEngine(folder / "learning.db")) as engine:
        engine.record_generation("g", ["g-0"], {}, loras=["lora:ink.safetensors"])
        engine.record_feedback("g", 5)
        return engine.export_ratings()


def test_each_user_has_a_taste_of_their_own(shared_server: Server, tmp_path: Path) -> None:
    ann, bob = (ask(shared_server, "/users", {"username": name}) for name in ("Ann / ../x", "bob"))
    added = ask(shared_server, f"{LEARNED}/import", rated_elsewhere(tmp_path), ann)
    assert added == {"generations": 1, "ratings": 1, "acts": 0}
    assert [ask(shared_server, LEARNED, user=user)["ratings"] for user in (ann, bob, "", "nobody")] == [1, 0, 0, 0]

    rate = {"1": {"class_type": "Feedback", "inputs": {"generation_id": "g", "rating": 2, "comments": "by node"}}}
    statuses = {}
    for user in (ann, bob):
        queued = ask(shared_server, "/prompt", {"prompt": rate}, user)["prompt_id"]
        statuses[user] = shared_server.client.wait(queued)["status"]["status_str"]
    assert statuses == {ann: "success", bob: "error"}
    history = ask(shared_server, "/intelligent_generation/generations/g/history", user=ann)
    assert [(one["rating"], one["comments"]) for one in history] == [(5, ""), (2, "by node")]
    assert {path.parent.parent for path in shared_server.home.rglob("learning.db")} <= {
        shared_server.home.parent,
        shared_server.home / "users",
    }
