"""Validation of prompts that lack an input, or hold a bad one: one cause is one error, which names it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from .client import Client, Prompt, Refused
from .examples import AUTO, SUGGESTIONS, example
from .workflow import changed, node_id


def refusals(client: Client, prompt: Prompt, output: str) -> list[tuple[str, str, str]]:
    """Return (node type, kind of error, details) of each error that keeps `output` from running; it must not run."""
    with pytest.raises(Refused) as refused:
        client.queue(prompt, targets=[output])
    return [
        (prompt[key]["class_type"], error["type"], error["details"])
        for key, node in refused.value.body["node_errors"].items()
        for error in node["errors"]
    ]


def inputs_of(info: dict[str, Any], prompt: Prompt) -> list[tuple[str, str]]:
    """Return (node id, required input) of our nodes in a prompt."""
    ours = [key for key, node in prompt.items() if info[node["class_type"]]["category"] == "intelligent generation"]
    return [(key, name) for key in ours for name in info[prompt[key]["class_type"]]["input"].get("required", {})]


def without(prompt: Prompt, *missing: tuple[str, str]) -> Prompt:
    found = copy.deepcopy(prompt)
    for key, name in missing:
        del found[key]["inputs"][name]
    return found


def last(prompt: Prompt, key: str) -> str:
    """Return the output node that needs node `key`: itself where nothing saved depends on it."""
    alone = ("Explain", "Feedback")
    return key if prompt[key]["class_type"] in alone else node_id(prompt, "SaveGeneration")


@pytest.mark.parametrize("name", [AUTO, SUGGESTIONS])
def test_missing_inputs_are_one_error_each(client: Client, name: str) -> None:
    """Every required input of every node alone, and every two of one node."""
    prompt = example(client, name)
    info = client.object_info()
    for key, first in inputs_of(info, prompt):
        output = last(prompt, key) if name == AUTO else node_id(prompt, "SaveImage")
        others = [other for node, other in inputs_of(info, prompt) if node == key and other > first]
        for missing in ([first], *([first, second] for second in others)):
            found = refusals(client, without(prompt, *((key, each) for each in missing)), output)
            kind = prompt[key]["class_type"]
            assert sorted(found) == [(kind, "required_input_missing", each) for each in sorted(missing)]


@pytest.mark.parametrize(
    "edits",
    [
        {"PromptAnalyze": {"prompt": " \n"}},
        {"PromptAnalyze": {"analyzer": "oracle"}},
        {"LoRARecommend": {"mode": "MAGIC"}},
        {"LoRARecommend": {"mode": "ASSISTED"}},
        {"LoRARecommend": {"selection": "{"}},
        {"LoRARecommend": {"selection": '["somebody_elses.safetensors"]'}},
        {"LoRARecommend": {"min_confidence": 7}},
        {"ParamOptimize": {"sampler": "warp"}},
        {"ParamOptimize": {"width": 9000}},
        {"MemoryPlan": {"strategy": "hope"}},
        {"IntelligentSampler": {"seed": -1}},
        {"SaveGeneration": {"format": "svg"}},
        {"SaveGeneration": {"filename_prefix": "../../custom_nodes/x"}},
    ],
    ids=str,
)
def test_bad_value_is_one_error(client: Client, edits: dict[str, dict[str, Any]]) -> None:
    prompt = changed(example(client), edits)
    ((kind, _, details),) = refusals(client, prompt, node_id(prompt, "SaveGeneration"))
    assert [kind] == [*edits]
    assert details.startswith(next(iter(edits[kind])) if edits[kind] != {"mode": "ASSISTED"} else "selection")
