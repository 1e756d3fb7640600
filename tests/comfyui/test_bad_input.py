"""Bad input gets one clear error, before anything is computed where that is possible, and loses nothing."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request

import pytest

from . import checkpoint
from .client import Client, Refused
from .examples import checkpoint_example, example
from .server import Server
from .workflow import node_id

WITCH = "the mirkwood witch in a forest"


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"PromptAnalyze": {"prompt": " \n"}}, "The prompt is empty"),
        ({"Feedback": {"rating": 6}}, "bigger than max"),
        ({"Feedback": {"rating": -1}}, "smaller than min"),
        ({"LoRARecommend": {"mode": "MAGIC"}}, "mode: 'MAGIC' not in"),
        ({"LoRARecommend": {"selection": "{"}}, "`selection` must be JSON"),
        ({"LoRARecommend": {"selection": '[{"lora": "mirkwood_witch", "strength": 1e9}]'}}, "strength must be"),
        ({"LoRARecommend": {"selection": "[" * 100_000}}, "`selection` must be JSON"),
        ({"LoRARecommend": {"selection": '["somebody_elses.safetensors"]'}}, "no LoRA of this name"),
        ({"ParamOptimize": {"sampler": "warp"}}, "warp"),
        ({"SaveGeneration": {"format": "svg"}}, "svg"),
        ({"SaveGeneration": {"filename_prefix": "../../outside"}}, "outside the output folder"),
    ],
)
def test_validation_refuses_bad_widgets(client: Client, edits: dict, said: str) -> None:
    prompt = example(client, **{"PromptAnalyze": {"prompt": WITCH}, **edits})
    try:
        run = client.run(prompt)
    except Refused as refused:
        assert refused.status == 400
        assert said in refused.details()
    else:  # another output was valid, so ComfyUI runs that one and names the other
        assert said in json.dumps(run.node_errors)


def test_validation_refuses_missing_checkpoint(client: Client) -> None:
    with pytest.raises(Refused) as refused:
        client.run(checkpoint_example(client))
    assert checkpoint.NAME in refused.value.details()


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"Feedback": {"rating": 3, "generation_id": "0123456789abcdef"}}, "0123456789abcdef"),
        ({"ParamOptimize": {"width": 1}}, "width"),
    ],
)
def test_execution_names_what_was_wrong(client: Client, edits: dict, said: str) -> None:
    prompt = example(client, **{"PromptAnalyze": {"prompt": WITCH}, "IntelligentSampler": {"seed": 9}, **edits})
    run = client.run(prompt)
    assert run.status == "error"
    assert said in run.error


def test_missing_selected_lora_is_left_out_with_use_suggestions(client: Client) -> None:
    prompt = example(
        client,
        PromptAnalyze={"prompt": WITCH},
        LoRARecommend={"selection": '["somebody_elses.safetensors"]', "on_unconfirmed": "use_suggestions"},
        IntelligentSampler={"seed": 11},
    )
    run = client.complete(prompt)
    assert "somebody_elses" in run.outputs[node_id(prompt, "Explain")]["text"][0]


ROUTE = "/intelligent_generation/feedback"


def ask(server: Server, path: str, data: bytes | None, headers: dict[str, str]) -> int:
    request = urllib.request.Request(server.url + path, data, headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


JSON_TYPE = {"Content-Type": "application/json"}
RATING = json.dumps({"generation_id": "unknown", "rating": 3}).encode()


@pytest.mark.parametrize(
    ("path", "data", "headers", "status"),
    [
        (ROUTE, RATING, JSON_TYPE, 404),
        (ROUTE, RATING, {"Content-Type": "text/plain"}, 415),
        (ROUTE, RATING, {**JSON_TYPE, "Origin": "null"}, 403),
        (ROUTE, RATING, {**JSON_TYPE, "Sec-Fetch-Site": "cross-site"}, 403),
        (ROUTE, RATING, {**JSON_TYPE, "Host": "evil.test", "Origin": "http://evil.test"}, 403),
        (ROUTE, RATING, {**JSON_TYPE, "Host": "evil.test"}, 403),
        (ROUTE, None, {}, 405),
        (ROUTE, b"[" * 60_000, JSON_TYPE, 400),
        (ROUTE, b"x" * 100_000, JSON_TYPE, 400),
        (ROUTE, json.dumps({"generation_id": "unknown", "rating": "5"}).encode(), JSON_TYPE, 400),
        (ROUTE, b'{"generation_id": "unknown", "rating": NaN}', JSON_TYPE, 400),
        (ROUTE, b'{"rating": 5}', JSON_TYPE, 400),
        ("/intelligent_generation/generations/%2e%2e%2fx", None, {}, 404),
        ("/intelligent_generation/generations/unknown", None, {"Origin": "http://evil.test"}, 403),
    ],
)
def test_routes_refuse_foreign_and_malformed_requests(
    server: Server, path: str, data: bytes | None, headers: dict[str, str], status: int
) -> None:
    assert ask(server, path, data, headers) == status


def test_interrupt_leaves_server_usable(client: Client) -> None:
    prompt = example(client, ParamOptimize={"steps": 1000}, IntelligentSampler={"seed": 31})

    def stop() -> None:
        client.wait_until_running()
        time.sleep(1)
        while client.get("/queue")["queue_running"]:
            client.interrupt()
            time.sleep(0.2)

    stopping = threading.Thread(target=stop, daemon=True)
    stopping.start()
    run = client.run(prompt)
    assert run.message("execution_interrupted")
    stopping.join()
    client.complete(example(client, IntelligentSampler={"seed": 32}))
