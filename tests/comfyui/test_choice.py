"""Choices of LoRAs in a real server: applied, cached, confirmed and learned from."""

from __future__ import annotations

import io
import itertools
import json

import numpy as np
import pytest
from PIL import Image

from .client import Client, Prompt, Refused, Run
from .examples import SMALL, example, kinds
from .workflow import changed, node_id

WITCH = "the mirkwood witch in a forest"
SAMPLED = {"IntelligentSampler", "SaveGeneration", "Feedback", "Explain"}
seeds = itertools.count(1000)


def pixels(client: Client, prompt: Prompt, run: Run) -> np.ndarray:
    assert run.status == "success", run.error
    (image,) = run.outputs[node_id(prompt, "SaveGeneration")]["images"]
    return np.asarray(Image.open(io.BytesIO(client.view(image))))


def text(prompt: Prompt, run: Run, kind: str = "LoRARecommend") -> str:
    return "\n".join(run.outputs[node_id(prompt, kind)]["text"])


def loras(prompt: Prompt, run: Run) -> list[str]:
    return [item["name"] for item in run.outputs[node_id(prompt, "LoRARecommend")]["suggestions"]]


def test_lora_named_by_prompt_is_applied(client: Client) -> None:
    prompt = example(client, PromptAnalyze={"prompt": WITCH}, IntelligentSampler={"seed": 5})
    chosen = client.run(prompt)
    assert loras(prompt, chosen) == ["mirkwood_witch"]
    without = changed(prompt, {"LoRARecommend": {"selection": "[]", "quality_tags": False}})
    plain = client.run(without)
    assert loras(without, plain) == []
    # The same words are encoded, so that the LoRA alone makes the difference.
    woven = "the mirkwood witch in a forest, green cloak, antler crown"
    plain = client.run(changed(without, {"PromptAnalyze": {"prompt": woven}}))
    assert (pixels(client, prompt, chosen) != pixels(client, without, plain)).any()


def test_lora_of_other_architecture_is_rejected_by_name(client: Client) -> None:
    prompt = example(client, PromptAnalyze={"prompt": "anime style girl"}, IntelligentSampler={"seed": next(seeds)})
    run = client.run(prompt)
    assert "old_sd15_anime" not in loras(prompt, run)
    rejected = {item["name"]: item["reason"] for item in run.outputs[node_id(prompt, "LoRARecommend")]["rejected"]}
    assert "SD 1.5" in rejected["old_sd15_anime"]
    tagged = changed(prompt, {"PromptAnalyze": {"prompt": "anime style girl <lora:old_sd15_anime:1>"}})
    run = client.complete(tagged)
    assert "old_sd15_anime" not in loras(tagged, run)
    assert "SD 1.5" in text(tagged, run, "Explain")


def test_sdxl_lora_is_never_offered_for_demo_model(client: Client) -> None:
    words = "ink wash painting of a harbour, ink, monochrome"
    prompt = example(client, PromptAnalyze={"prompt": words}, IntelligentSampler={"seed": next(seeds)})
    run = client.run(prompt)
    assert "ink_wash" not in loras(prompt, run)
    rejected = {item["name"]: item["reason"] for item in run.outputs[node_id(prompt, "LoRARecommend")]["rejected"]}
    assert "SDXL" in rejected["ink_wash"]


def test_lora_tag_sets_strength(client: Client) -> None:
    prompt = example(
        client,
        PromptAnalyze={"prompt": "a quiet lake <lora:pixel_art:0.35>"},
        LoRARecommend={"quality_tags": False},
        IntelligentSampler={"seed": next(seeds)},
    )
    run = client.run(prompt)
    (suggestion,) = run.outputs[node_id(prompt, "LoRARecommend")]["suggestions"]
    assert (suggestion["name"], suggestion["strength"]) == ("pixel_art", 0.35)


def test_unusable_lora_is_rejected_with_reason(client: Client) -> None:
    words = "a lake <lora:broken:1> <lora:pickled:1> <lora:not_here:1>"
    prompt = example(client, PromptAnalyze={"prompt": words}, IntelligentSampler={"seed": next(seeds)})
    run = client.complete(prompt)
    rejected = {item["name"]: item["reason"] for item in run.outputs[node_id(prompt, "LoRARecommend")]["rejected"]}
    assert set(rejected) == {"broken", "pickled", "not_here"}
    assert all(rejected.values())


def test_prompt_without_fitting_lora_applies_none(client: Client) -> None:
    prompt = example(
        client,
        PromptAnalyze={"prompt": "a bowl of lentil soup"},
        LoRARecommend={"quality_tags": False},
        IntelligentSampler={"seed": next(seeds)},
    )
    run = client.complete(prompt)
    assert loras(prompt, run) == []


def test_cache_reruns_only_what_changed(client: Client) -> None:
    """The same prompt: nothing. Another seed: the sampler and what follows. A new rating: the choice again."""
    prompt = example(client, PromptAnalyze={"prompt": WITCH}, IntelligentSampler={"seed": next(seeds)})
    client.complete(prompt)
    again = client.run(prompt)
    assert again.executed == ()
    assert again.cached == set(prompt)

    reseeded = changed(prompt, {"IntelligentSampler": {"seed": next(seeds)}})
    assert kinds(prompt, client.run(reseeded).executed) == SAMPLED

    rated = changed(reseeded, {"Feedback": {"rating": 4}})
    rating = client.run(rated)
    assert kinds(prompt, rating.executed) == {"Feedback"}
    assert "Rated 4" in text(prompt, rating, "Feedback")
    assert client.run(rated).executed == ()


def test_rating_lowers_confidence_of_next_choice(client: Client) -> None:
    prompt = example(
        client,
        PromptAnalyze={"prompt": "pixel art of a cat"},
        LoRARecommend={"max_loras": 1},
        IntelligentSampler={"seed": next(seeds)},
    )
    before = client.run(prompt)
    (suggestion,) = before.outputs[node_id(prompt, "LoRARecommend")]["suggestions"]
    feedback = before.outputs[node_id(prompt, "Feedback")]["feedback"][0]
    answer = client.post(
        "/intelligent_generation/feedback", {"generation_id": feedback["image_ids"][0], "rating": 1, "comments": "no"}
    )
    assert answer["rating"] == 1
    after = client.run(changed(prompt, {"LoRARecommend": {"min_confidence": 0.0}}))
    rated = {item["name"]: item for item in after.outputs[node_id(prompt, "LoRARecommend")]["suggestions"]}
    assert suggestion["name"] not in rated or rated[suggestion["name"]]["confidence"] < suggestion["confidence"]
    assert "you gave 1 ★ to pictures with it" in text(prompt, after)
    stored = client.get(f"/intelligent_generation/generations/{feedback['generation_id']}")
    assert [rating["rating"] for rating in stored["ratings"]] == [1]


def test_rating_input_of_the_same_run_does_not_count(client: Client) -> None:
    prompt = example(client, PromptAnalyze={"prompt": WITCH}, IntelligentSampler={"seed": next(seeds)})
    run = client.run(changed(prompt, {"Feedback": {"rating": 5}}))
    assert "Not counted" in text(prompt, run, "Feedback")
    feedback = run.outputs[node_id(prompt, "Feedback")]["feedback"][0]
    assert client.get(f"/intelligent_generation/generations/{feedback['generation_id']}")["ratings"] == []


def test_feedback_rates_earlier_generation_by_id(client: Client) -> None:
    prompt = example(client, PromptAnalyze={"prompt": WITCH}, IntelligentSampler={"seed": next(seeds)})
    run = client.run(prompt)
    generation_id = run.outputs[node_id(prompt, "Feedback")]["feedback"][0]["generation_id"]
    alone = {
        "1": {
            "class_type": "Feedback",
            "inputs": {"generation_id": generation_id, "rating": 3, "comments": "fine"},
        }
    }
    client.complete(alone)
    stored = client.get(f"/intelligent_generation/generations/{generation_id}")
    assert [(item["rating"], item["comments"]) for item in stored["ratings"]] == [(3, "fine")]


def test_assisted_suggests_then_applies_what_was_confirmed(client: Client) -> None:
    prompt = example(
        client,
        PromptAnalyze={"prompt": f"{WITCH}, under an oak"},  # of its own: not in the cache
        LoRARecommend={"mode": "ASSISTED"},
        IntelligentSampler={"seed": next(seeds)},
    )
    with pytest.raises(Refused) as refused:
        client.run(prompt)
    assert refused.value.status == 400
    (error,) = refused.value.body["node_errors"][node_id(prompt, "LoRARecommend")]["errors"]
    assert error["extra_info"]["input_name"] == "selection"

    suggest = changed(prompt, {"LoRARecommend": {"on_unconfirmed": "suggest_only"}})
    recommend, optimize = node_id(prompt, "LoRARecommend"), node_id(prompt, "ParamOptimize")
    shown = client.complete(suggest, targets=[recommend, optimize])
    assert kinds(prompt, shown.executed) == {"PromptAnalyze", "LoRARecommend", "ParamOptimize"}
    suggestions = shown.outputs[recommend]["suggestions"]
    assert [item["name"] for item in suggestions] == ["mirkwood_witch"]
    near = shown.outputs[recommend]["nearest"]
    assert all(
        {"lora", "strength", "trigger_words", "confidence", "reasoning", "reason"} <= item.keys() for item in near
    )
    assert not {item["lora"] for item in near} & {item["lora"] for item in suggestions}
    assert "steps" in text(prompt, shown, "ParamOptimize")

    chosen = json.dumps([{"lora": suggestions[0]["lora"], "strength": 0.5}])
    confirmed = client.complete(changed(prompt, {"LoRARecommend": {"selection": chosen}}))
    (applied,) = confirmed.outputs[recommend]["suggestions"]
    assert (applied["name"], applied["strength"]) == ("mirkwood_witch", 0.5)

    basis = shown.outputs[recommend]["chosen_for"][0]
    for edit in ({}, {"prompt": "a lake"}, {"checkpoint": "b.safetensors"}):
        told = json.dumps({"loras": json.loads(chosen), "chosen_for": basis | edit})
        stale = client.complete(changed(prompt, {"LoRARecommend": {"selection": told}}))
        assert stale.outputs[recommend]["stale"] == [*edit]
        assert [item["strength"] for item in stale.outputs[recommend]["suggestions"]] == [0.5]  # applied all the same

    lenient = client.run(changed(prompt, {"LoRARecommend": {"on_unconfirmed": "use_suggestions"}}))
    assert loras(prompt, lenient) == ["mirkwood_witch"]


def test_suggest_only_loads_no_model_whatever_is_queued(client: Client) -> None:
    prompt = example(
        client,
        PromptAnalyze={"prompt": f"{WITCH}, in a boat"},
        LoRARecommend={"mode": "ASSISTED", "on_unconfirmed": "suggest_only"},
        IntelligentSampler={"seed": next(seeds)},
    )
    loader = node_id(prompt, "CheckpointOrFirst")
    prompt["bare"] = {"class_type": "PreviewImage", "inputs": {"images": [node_id(prompt, "IntelligentSampler"), 0]}}
    prompt[node_id(prompt, "ParamOptimize")]["inputs"]["model"] = [loader, 0]
    shown = client.complete(prompt)
    assert kinds(prompt, shown.executed) == {"PromptAnalyze", "LoRARecommend", "ParamOptimize"}
    (settings,) = shown.outputs[node_id(prompt, "ParamOptimize")]["settings"]
    assert settings["steps"] == SMALL["steps"] and settings["cfg"] > 0


def test_manual_chooses_no_lora_and_no_setting(client: Client) -> None:
    prompt = example(
        client,
        PromptAnalyze={"prompt": WITCH},
        LoRARecommend={"mode": "MANUAL"},
        IntelligentSampler={"seed": next(seeds)},
    )
    run = client.run(prompt)
    assert loras(prompt, run) == []
    assert "MANUAL" in text(prompt, run, "ParamOptimize")


def test_variations_run_once_per_set_and_per_neighbour(client: Client) -> None:
    prompt = example(
        client,
        PromptAnalyze={"prompt": "anime girl with magical powers"},
        LoRARecommend={"variations": 2},
        IntelligentSampler={"seed": next(seeds)},
        SaveGeneration={"filename_prefix": "tests/variations"},
    )
    run = client.complete(prompt)
    assert len(run.outputs[node_id(prompt, "SaveGeneration")]["images"]) == 2
    assert len(set(run.outputs[node_id(prompt, "Explain")]["text"])) == 2

    neighbours = changed(
        prompt,
        {"LoRARecommend": {"variations": 1}, "ParamOptimize": {"variations": 3, "steps": 0, "max_time_seconds": 5}},
    )
    run = client.run(neighbours)
    assert len(run.outputs[node_id(prompt, "SaveGeneration")]["images"]) == 3
