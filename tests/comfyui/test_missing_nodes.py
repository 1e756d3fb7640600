"""Our nodes taken out of a prompt, one at a time: the rest runs, or an error names the node and the input it lacks."""

from __future__ import annotations

import itertools
import json

import pytest

from .client import Client, Prompt, Refused
from .examples import AUTO, SMALL, example, ui_workflow
from .workflow import BYPASSED, node_id

seeds = itertools.count(7000)

LACKING = {
    "PromptAnalyze": {("LoRARecommend", "analysis")},
    "LoRARecommend": {("ParamOptimize", "recommendations"), ("CLIPTextEncode", "text")},
    "ParamOptimize": {("MemoryPlan", "parameters")},
    "MemoryPlan": {("IntelligentSampler", "plan")},
    "IntelligentSampler": {("Explain", "generation"), ("SaveGeneration", "generation")},
    "Explain": set(),
    "Feedback": set(),
    "SaveGeneration": set(),
}
"""Node that is taken out → (node, input) that are named, at least."""

FAILING = {"IntelligentSampler": ["Feedback: link a generation, or give `generation_id` of an earlier one."]}
"""Node that is taken out → errors of nodes whose inputs are all optional."""


def small(client: Client) -> Prompt:
    seed = {"seed": next(seeds)}
    return example(client, PromptAnalyze={"prompt": "a lighthouse"}, ParamOptimize=SMALL, IntelligentSampler=seed)


def without(prompt: Prompt, kind: str) -> Prompt:
    """The prompt as the page makes it once the node is deleted: links to it are gone."""
    gone = node_id(prompt, kind)
    rest = {key: node for key, node in prompt.items() if key != gone}
    for node in rest.values():
        links = [name for name, value in node["inputs"].items() if isinstance(value, list) and value[0] == gone]
        for name in links:
            del node["inputs"][name]
    return rest


def lacking(node_errors: dict) -> set[tuple[str, str]]:
    found = {(node["class_type"], error["details"]) for node in node_errors.values() for error in node["errors"]}
    assert {error["type"] for node in node_errors.values() for error in node["errors"]} <= {"required_input_missing"}
    return found


@pytest.mark.parametrize("kind", LACKING)
def test_removed_node_is_missed_by_name_or_not_at_all(client: Client, kind: str) -> None:
    prompt = without(small(client), kind)
    try:
        answer = client.queue(prompt)
        ended = client.wait(answer["prompt_id"])["status"]
        said = [data["exception_message"] for event, data in ended["messages"] if event == "execution_error"]
        assert [text.strip() for text in said] == FAILING.get(kind, [])
        errors = answer["node_errors"]
    except Refused as refused:
        errors = refused.body["node_errors"]
    assert LACKING[kind] <= lacking(errors)
    assert bool(LACKING[kind]) == bool(errors)


def test_bypassed_recommend_passes_on_what_it_can(client: Client) -> None:
    """As MANUAL without LoRAs: the page drops the node's outputs but MODEL and CLIP, and the server fills them in."""
    workflow = ui_workflow(AUTO)
    for node in workflow["nodes"]:
        node["mode"] = BYPASSED if node["type"] == "LoRARecommend" else node.get("mode", 0)
    prompt = small(client)
    recommend, loader = node_id(prompt, "LoRARecommend"), prompt[node_id(prompt, "LoRARecommend")]["inputs"]["model"][0]
    for node in prompt.values():
        for name, value in node["inputs"].items():
            if value == [recommend, 0] or value == [recommend, 1]:
                node["inputs"][name] = [loader, value[1]]
    run = client.run(without(prompt, "LoRARecommend"), {"extra_pnginfo": {"workflow": workflow}})
    assert run.status == "success", run.error
    card = run.outputs[node_id(prompt, "Explain")]["card"][0]
    assert card["loras"] == [] and json.dumps(card["prompt"]).count("a lighthouse") == 1
