"""The test server itself, with the demo model and core nodes, on the newest and the oldest ComfyUI."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from . import checkpoint, loras
from .client import Refused, Run
from .graphs import text_to_image
from .server import Server
from .workflow import changed


@pytest.fixture(scope="module", params=["server", "old_server"])
def any_server(request: pytest.FixtureRequest) -> Server:
    """Each supported ComfyUI in turn."""
    return request.getfixturevalue(request.param)


def pixels(server: Server, run: Run) -> np.ndarray:
    """The saved picture, height × width × RGB."""
    assert run.status == "success", run.history["status"]
    (image,) = run.outputs["save"]["images"]
    return np.asarray(Image.open(io.BytesIO(server.client.view(image))).convert("RGB"))


def test_prompt_makes_picture_once(any_server: Server) -> None:
    prompt = text_to_image(seed=11)
    run = any_server.client.run(prompt)
    picture = pixels(any_server, run)
    assert picture.shape == (128, 128, 3)
    assert picture.std() > 5
    assert set(run.executed) | run.cached == set(prompt)
    assert "sampler" in run.executed
    assert [step["value"] for step in run.progress if step["node"] == "sampler"][-1] == 2

    again = any_server.client.run(prompt)
    assert again.executed == ()
    assert again.cached == set(prompt)

    reseeded = any_server.client.run(changed(prompt, {"KSampler": {"seed": 12}}))
    assert set(reseeded.executed) == {"sampler", "decode", "save"}
    assert (pixels(any_server, reseeded) != picture).any()


def test_words_and_loras_change_picture(any_server: Server) -> None:
    usable = ["characters/mirkwood_witch.safetensors", "embedded_demo/pixel_art.safetensors"]
    prompts = [
        text_to_image(seed=21),
        text_to_image("an owl", seed=21),
        *(text_to_image(lora=p, seed=21) for p in usable),
    ]
    pictures = [pixels(any_server, any_server.client.run(prompt)).astype(int) for prompt in prompts]
    for index, one in enumerate(pictures):
        for other in pictures[index + 1 :]:
            assert np.abs(one - other).mean() > 1


def test_refused_prompt_names_node_and_input(any_server: Server) -> None:
    with pytest.raises(Refused) as refused:
        any_server.client.run(changed(text_to_image(), {"KSampler": {"steps": 0}}))
    assert refused.value.status == 400
    assert "steps" in refused.value.details("sampler")


def test_loras_are_listed_by_relative_path(any_server: Server) -> None:
    listed = any_server.client.object_info()["LoraLoader"]["input"]["required"]["lora_name"]
    names = listed[0] if isinstance(listed[0], list) else listed[1]["options"]
    own = {name for name in names if name.startswith("embedded_demo/")}
    assert len(own) == 9
    assert set(names) == {lora.path for lora in loras.DEMO_LIBRARY} | set(loras.UNUSABLE) | own


def test_checkpoint_write_makes_described_tensors(tmp_path: Path) -> None:
    path = tmp_path / "some.safetensors"
    checkpoint.write(path, {"a.weight": (64, 100), "norm.weight": (100,), "a.bias": (64,)}, block=1000)
    tensors = load_file(path)
    assert tensors["a.weight"].shape == (64, 100)
    assert tensors["a.weight"].std() == pytest.approx(0.1, rel=0.1)
    assert (tensors["norm.weight"] == 1).all()
    assert (tensors["a.bias"] == 0).all()


def test_interrupt_stops_prompt_and_next_runs(any_server: Server) -> None:
    client = any_server.client
    queued = client.queue(text_to_image(seed=51, steps=10_000))
    client.wait_until_running()
    while client.get("/queue")["queue_running"]:  # a prompt that has only just begun forgets that it is interrupted
        client.interrupt()
        time.sleep(0.05)
    events = [event for event, _ in client.wait(queued["prompt_id"])["status"]["messages"]]
    assert events[-1] == "execution_interrupted"
    client.complete(text_to_image(seed=52))
