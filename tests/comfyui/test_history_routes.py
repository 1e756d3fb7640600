"""The pictures that the user already has, over the API: off until switched on, then read in the background."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.history import texts, write

from .client import Client, Refused

HISTORY = "/intelligent_generation/history"


def read_status(client: Client) -> dict[str, Any]:
    until = time.monotonic() + 60
    while (found := client.get(HISTORY))["reading"] and time.monotonic() < until:
        time.sleep(0.1)
    return dict(found)


def test_history_is_switched_on_read_and_forgotten(client: Client, tmp_path: Path) -> None:
    before = client.get(HISTORY)
    assert (before["on"], before["asked"], before["told"]) == (False, False, 0)
    folder = tmp_path / "mine"
    folder.mkdir()
    write(folder / "one.png", texts("comfyui", "a fox", [("fox.safetensors", 0.7)], 1, random.Random(0)), 1.7e9)
    try:
        client.post(HISTORY, {"on": True, "folders": [str(folder)]})
        found = read_status(client)
        assert (found["on"], found["folders"], found["problem"]) == (True, [str(folder)], None)
        assert found["told"] >= 1
        used = client.get(f"{HISTORY}/used")
        assert used["unknown_loras"]["fox.safetensors"] == 1
        assert client.post(f"{HISTORY}/forget", {})["forgotten"] >= 1
    finally:
        client.post(HISTORY, {"on": False, "folders": []})
    assert (read_status(client)["on"], client.get(HISTORY)["told"]) == (False, 0)


@pytest.mark.parametrize("body", [{}, {"on": 1}, {"on": True, "folders": "x"}, {"on": True, "folders": ["nowhere"]}])
def test_history_refuses_bad_requests(client: Client, body: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        client.post(HISTORY, body)
    assert client.get(HISTORY)["on"] is False
