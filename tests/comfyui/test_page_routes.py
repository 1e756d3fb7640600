"""The page's loader, settings and LoRA sets over the API."""

from __future__ import annotations

import pytest

from intelligence.config import Hub, LoRAPreferences, user_settings

from .client import LIBRARY, Client, Prompt, Refused
from .server import Server

WITCH = "characters/mirkwood_witch.safetensors"
SETTINGS = "/intelligent_generation/settings"
ALWAYS = f"{LIBRARY}/always"


def chosen_with(ckpt_name: str, mode: str, prompt: str = "a lighthouse") -> Prompt:
    """A prompt that ends with the choice of LoRAs, without sampling."""
    return {
        "1": {"class_type": "CheckpointOrFirst", "inputs": {"ckpt_name": ckpt_name}},
        "2": {
            "class_type": "PromptAnalyze",
            "inputs": {"prompt": prompt, "negative_prompt": "", "analyzer": "rules"},
        },
        "3": {
            "class_type": "LoRARecommend",
            "inputs": {
                "analysis": ["2", 0],
                "model": ["1", 0],
                "clip": ["1", 1],
                "mode": mode,
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


def loras_of(client: Client, mode: str) -> list[tuple[str, float]]:
    """Names and strengths of the LoRAs that a run applies."""
    run = client.complete(chosen_with("auto", mode))
    return [(each["lora"], each["strength"]) for each in run.outputs["3"]["suggestions"]]


def test_missing_checkpoint_falls_back_to_demo_model(client: Client) -> None:
    run = client.complete(chosen_with("sd_xl_base_1.0.safetensors", "MANUAL"))
    assert run.outputs["3"]["chosen_for"][0]["checkpoint"] == "embedded"
    assert "demo model" in run.outputs["1"]["text"][0]


def test_always_used_lora_joins_new_choices_only(client: Client) -> None:
    assert loras_of(client, "AUTO") == []
    client.post(ALWAYS, {"lora": WITCH, "strength": 0.4})
    try:
        assert loras_of(client, "AUTO") == [(WITCH, 0.4)]
        assert loras_of(client, "MANUAL") == []
        client.post(ALWAYS, {"lora": WITCH, "strength": 0.4, "checkpoint": "another.safetensors"})
        assert loras_of(client, "AUTO") == []
    finally:
        client.post(ALWAYS, {"lora": WITCH, "strength": None})


def test_always_used_lora_is_one_of_the_library(client: Client) -> None:
    """By any of its names; what the library lacks is refused, and taken back without a word."""
    with pytest.raises(Refused, match="mirkwood_witch") as refused:
        client.post(ALWAYS, {"lora": "mirkwod_witch", "strength": 0.4})
    assert refused.value.status == 404
    try:
        assert [
            entry["lora"] for entry in client.post(ALWAYS, {"lora": "mirkwood_witch", "strength": 0.4})["always"]
        ] == [WITCH]
        cards = {card["lora"]: card["always"] for card in client.get(f"{LIBRARY}/cards")["loras"]}
        assert cards[WITCH] == ""
    finally:
        assert client.post(ALWAYS, {"lora": WITCH, "strength": None})["always"] == []
    assert client.post(ALWAYS, {"lora": "gone.safetensors", "strength": None})["always"] == []
    cards = {card["lora"]: card["always"] for card in client.get(f"{LIBRARY}/cards")["loras"]}
    assert cards[WITCH] is None


def test_cards_tell_fit_to_checkpoint(client: Client) -> None:
    cards = {card["title"]: card for card in client.get(f"{LIBRARY}/cards", checkpoint="embedded")["loras"]}
    assert (cards["Mirkwood Witch"]["fits"], cards["Old anime"]["fits"]) == (True, False)
    assert {card["fits"] for card in client.get(f"{LIBRARY}/cards")["loras"]} == {None}


def test_checkpoint_is_named_that_a_loader_takes(client: Client) -> None:
    for named in ("auto", "gone.safetensors"):
        assert client.get(f"{LIBRARY}/checkpoint", named=named) == {"checkpoint": "embedded"}


def test_settings_change_one_part(client: Client) -> None:
    before = client.get(SETTINGS)
    changed = client.post(SETTINGS, {"ollama": {"model": "another:1b"}})
    assert changed["ollama"] == {**before["ollama"], "model": "another:1b"}
    client.post(SETTINGS, before)
    assert client.get(SETTINGS) == before


def test_words_never_to_add_are_kept_out(client: Client) -> None:
    prompt = chosen_with("auto", "AUTO", "portrait of the mirkwood witch")
    try:
        for words, added in (([], ["green cloak", "antler crown"]), (["antler"], ["green cloak"])):
            client.post(SETTINGS, {"never_add": words})
            prompt["2"]["inputs"]["negative_prompt"] = f"blurry {len(words)}"  # asked anew
            (witch,) = client.complete(prompt).outputs["3"]["suggestions"]
            assert witch["trigger_words"] == added
    finally:
        client.post(SETTINGS, {"never_add": []})


@pytest.mark.parametrize("body", [{"allowed_hosts": ["evil.example"]}, {"ollama": {"model": ""}}, {"ollama": "x"}])
def test_settings_refuse(client: Client, body: dict) -> None:
    before = client.get(SETTINGS)
    with pytest.raises(Refused) as refused:
        client.post(SETTINGS, body)
    assert refused.value.status == 400
    assert client.get(SETTINGS) == before


def test_settings_are_those_of_the_data_folder(client: Client, server: Server) -> None:
    """Confidence and hubs lie where Python and the terminal read them; null brings a default back."""
    try:
        assert client.post(SETTINGS, {"min_confidence": 0.65, "hubs": ["civitai"]})["hubs"] == ["civitai"]
        assert user_settings(server.home).min_confidence == 0.65
        assert user_settings(server.home).hubs == ("civitai",)
    finally:
        restored = client.post(SETTINGS, {"min_confidence": None, "hubs": None})
    assert (restored["min_confidence"], restored["hubs"]) == (LoRAPreferences.min_confidence, [*Hub])
