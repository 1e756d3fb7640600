"""Hostile prompts asked of a library of hostile records: a choice comes out that is sound and travels."""

from dataclasses import replace

import pytest

from intelligence.config import MAX_LORA_STRENGTH
from intelligence.errors import InvalidInputError
from intelligence.lora import LoRAChoice, LoRARecommender, compose_prompts
from intelligence.models import Architecture, ModelEvidence, ModelMetadata
from intelligence.prompt import PromptAnalyzer, parse
from tests.benchmarks.corpus import Shelf
from tests.benchmarks.grammar import hostile, refused

SDXL = ModelEvidence(name="some_sdxl.safetensors", architecture=Architecture.SDXL)
ANALYZER = PromptAnalyzer()
SOME = 500
"""Prompts: each piece alone and repeated, and mixtures."""
MAX_REASONS = 200_000
"""Characters of all that is said of one prompt."""


def odd_record(number, text):
    """A CivitAI record that has `text` wherever a text can stand."""
    return {
        "id": number + 1,
        "type": "LORA",
        "name": text,
        "description": text,
        "tags": [text, "1girl", *text.split(" ")[:300]],
        "creator": {"username": text},
        "modelVersions": [
            {
                "id": number + 1,
                "baseModel": "SDXL 1.0",
                "trainedWords": [text, text[::-1], *text.split(",")[:500]],
                "files": [{"name": f"odd {number}.safetensors", "type": "Model"}],
                "images": [
                    {"meta": {"prompt": f"{text} <lora:odd {number}:{number / 9}>"}},
                    {"meta": {"prompt": text[::-1]}},
                ],
            }
        ],
    }


@pytest.fixture(scope="module")
def recommender():
    records = [odd_record(number, text) for number, text in enumerate([*hostile()][::20])]
    models = [replace(ModelMetadata.from_civitai(record), local_path="/x") for record in records]
    return LoRARecommender(Shelf(models))


def test_choose_survives_hostile_prompts_and_records(recommender):
    asked = chosen = 0
    for prompt in hostile(SOME):
        try:
            analysis = ANALYZER.analyze(prompt)
        except InvalidInputError:
            continue
        choice = recommender.choose(analysis, SDXL, max_loras=5, min_confidence=0.5)
        asked, chosen = asked + 1, chosen + len(choice.chosen)
        assert all(
            0 <= one.confidence_score <= 1 and abs(one.suggested_alpha) <= MAX_LORA_STRENGTH for one in choice.chosen
        )
        assert len(choice.to_json()) < MAX_REASONS
    assert asked > SOME / 2 and chosen > 5


@pytest.mark.parametrize(
    "prompt", [p for p in list(hostile())[::80] if not refused(ANALYZER, p)], ids=lambda p: ascii(p[:20])
)
def test_choice_round_trips_and_composes(recommender, prompt):
    analysis = ANALYZER.analyze(prompt)
    choice = recommender.choose(analysis, SDXL, max_loras=5, min_confidence=0.0)
    assert LoRAChoice.from_json(choice.to_json()) == choice
    assert not any(parse(word).lora_tags or "\n" in word for one in choice.chosen for word in one.trigger_words)
    composed = compose_prompts(analysis, choice.chosen)
    assert (
        compose_prompts(replace(analysis, prompt=composed.prompt, text=composed.prompt), ()).prompt == composed.prompt
    )
