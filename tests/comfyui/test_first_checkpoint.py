"""CheckpointOrFirst over the API: a checkpoint that is missing, on machines with one and without."""

from __future__ import annotations

from .client import Client, Prompt


def explained(ckpt_name: str) -> Prompt:
    """A prompt that takes the loader's MODEL to where its file is named, without sampling."""
    return {
        "1": {"class_type": "CheckpointOrFirst", "inputs": {"ckpt_name": ckpt_name}},
        "2": {"class_type": "PromptAnalyze", "inputs": {"prompt": "a fox", "negative_prompt": "", "analyzer": "rules"}},
        "3": {
            "class_type": "LoRARecommend",
            "inputs": {
                "analysis": ["2", 0],
                "model": ["1", 0],
                "clip": ["1", 1],
                "mode": "MANUAL",
                "selection": "",
                "on_unconfirmed": "error",
                "max_loras": 3,
                "min_confidence": 0.3,
                "allow_style_mixing": False,
                "quality_tags": False,
                "variations": 1,
            },
        },
    }


def test_missing_checkpoint_falls_back_to_demo_model(client: Client) -> None:
    run = client.complete(explained("sd_xl_base_1.0.safetensors"))
    assert run.outputs["3"]["chosen_for"][0]["checkpoint"] == "embedded"
    assert "demo model" in run.outputs["1"]["text"][0]
