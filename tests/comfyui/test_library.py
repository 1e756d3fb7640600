"""The library in a real server: read in the background, never on the event loop; its routes; what a prompt may use."""

from __future__ import annotations

import hashlib
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from . import loras
from .client import LIBRARY, Client, Refused
from .examples import example
from .locate import Installation
from .loras import write_library
from .server import Server
from .workflow import node_id

EMBEDDED = 9
"""LoRAs of the demo model."""


def test_library_is_scanned_after_start(client: Client) -> None:
    client.post(f"{LIBRARY}/rescan")
    status = client.library_after_scan()
    assert status["counts"]["lora"] == len(loras.DEMO_LIBRARY) + EMBEDDED
    assert status["counts"]["checkpoint"] == 0
    named = {Path(path).name for path in status["errors"]}
    assert named == {"broken.safetensors", "pickled.safetensors", "legacy.pt"}
    assert all(status["errors"].values())


def test_model_route_returns_record(client: Client) -> None:
    client.library_after_scan()
    found = client.get("/intelligent_generation/model", name="characters/mirkwood_witch.safetensors")
    assert found["name"] == "mirkwood_witch"
    assert found["architecture"] == "demo"
    assert {word for words in found["trigger_sets"] for word in words["words"]} >= {"mirkwood witch", "antler crown"}
    for name in ("../../etc/passwd", "nobody", ""):
        with pytest.raises(Refused) as refused:
            client.get("/intelligent_generation/model", name=name)
        assert refused.value.status == 404


def test_correct_route_stores_the_users_word(client: Client) -> None:
    client.library_after_scan()
    route, name = "/intelligent_generation/model/correct", "mirkwood_witch"
    before = client.get("/intelligent_generation/model", name=name)
    found = client.post(route, {"name": name, "strength": 0.4, "triggers": ["witch, hat"], "exclude": True})
    assert (found["strength"], found["trigger_sets"][0]["words"], found["excluded"]) == (0.4, ["witch", "hat"], True)
    assert found["correction"] == {"strength": 0.4, "triggers": ["witch, hat"], "exclude": True}
    assert client.get("/intelligent_generation/model", name=name) == found
    found = client.post(route, {"name": name, "strength": None})
    assert found["correction"] == {"triggers": ["witch, hat"], "exclude": True}
    bad = [({"name": name}, 400), ({"name": name, "strength": 99}, 400), ({"name": "nobody", "strength": 1}, 404)]
    bad += [
        ({"strength": 0.5}, 400),
        ({"name": name, "local_path": "/etc/passwd"}, 400),
        ({"name": 5, "base": "x"}, 400),
    ]
    for body, status in bad:
        with pytest.raises(Refused) as refused:
            client.post(route, body)
        assert refused.value.status == status
    assert client.post(route, {"name": name, "reset": True}) == before


def test_models_route_searches(client: Client) -> None:
    client.library_after_scan()
    (found,) = client.get("/intelligent_generation/models", text="witch antler")
    assert found["model_id"] == "lora:characters/mirkwood_witch.safetensors"
    assert len(client.get("/intelligent_generation/models")) == len(loras.DEMO_LIBRARY) + EMBEDDED
    for text in ("%", "' OR 1=1 --", '"', "NEAR(", "x" * 5_000, "\u202e"):
        assert client.get("/intelligent_generation/models", text=text) == []
    assert client.get("/intelligent_generation/models", kind="checkpoint") == []
    with pytest.raises(Refused) as refused:
        client.get("/intelligent_generation/models", kind="workflow")
    assert refused.value.status == 400


def test_library_scan_hashes_files_when_idle(client: Client, server: Server) -> None:
    path = server.base / "models" / "loras" / "ink_wash.safetensors"
    client.post(f"{LIBRARY}/rescan")
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    end = time.monotonic() + 60
    while (found := client.get("/intelligent_generation/model", name=path.name))["sha256"] != expected:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert found["autov2"] == expected[:10]


def test_preview_route_serves_pictures_only(server: Server) -> None:
    folder = server.base / "models" / "loras"
    picture, script = folder / "ink_wash.preview.png", folder / "old_sd15_anime.preview.png"
    Image.new("RGB", (32, 32), "teal").save(picture)
    script.write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    try:
        server.client.post(f"{LIBRARY}/rescan")
        server.client.library_after_scan()
        url = f"{server.url}/intelligent_generation/preview?name="
        with urllib.request.urlopen(url + "ink_wash") as answer:
            assert answer.headers["Content-Type"] == "image/png"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.read() == picture.read_bytes()
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(url + "old_sd15_anime")
        assert error.value.code >= 400
        assert b"<svg" not in error.value.read()
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(url + "mirkwood_witch")
        assert error.value.code == 404
    finally:
        picture.unlink()
        script.unlink()
        server.client.post(f"{LIBRARY}/rescan")
        server.client.library_after_scan()


@pytest.fixture
def large(installation: Installation, tmp_path: Path) -> Iterator[Server]:
    """A server with 3,000 LoRAs that it has not read yet."""
    server = Server(tmp_path / "base", installation, checkpoints=False)
    write_library(server.base / "models" / "loras", 3000)
    yield server
    server.stop()


def test_library_scan_leaves_server_responsive(large: Server) -> None:
    """While the library is read the server answers, a prompt runs with what is known so far, and a scan can stop."""
    large.start()
    answered: list[bool] = []
    stop = threading.Event()

    def heartbeat() -> None:
        while not stop.is_set():
            scanning = large.client.get(LIBRARY)["scanning"]
            answered.append(scanning)
            time.sleep(0.01)

    thread = threading.Thread(target=heartbeat)
    thread.start()
    try:
        prompt = example(large.client, PromptAnalyze={"prompt": "a lake"})
        large.client.complete(prompt, targets=[node_id(prompt, "LoRARecommend")])
        known = large.client.library_after_scan()["counts"]["lora"]
        with_demo = 3000 + EMBEDDED
        assert known in (3000, with_demo)  # the prompt may have made the demo model before the scan looked for it
        large.client.post(f"{LIBRARY}/rescan")
        large.client.post(f"{LIBRARY}/cancel")
        assert large.client.library_after_scan()["counts"]["lora"] in (known, with_demo)
    finally:
        stop.set()
        thread.join()
    assert sum(answered) > 10  # answers that came while the scan ran


def test_changing_routes_refuse_get(client: Client) -> None:
    """The routes that change something are POST only."""
    for path in (f"{LIBRARY}/rescan", f"{LIBRARY}/cancel", "/intelligent_generation/model/correct"):
        with pytest.raises(Refused) as refused:
            client.get(path)
        assert refused.value.status == 405
