"""Kinds of prompts asked of a made library: what is wanted is applied, and nothing else."""

from collections import Counter

import pytest

from intelligence.lora import LoRARecommender
from intelligence.models import Architecture, ModelEvidence
from intelligence.prompt import PromptAnalyzer
from tests.lora.choice_cases import LORAS, NOTHING, PROMPTS, SENTENCE, SEVERAL, TAGS
from tests.lora.library import Library

SDXL = ModelEvidence(name="some_sdxl.safetensors", architecture=Architecture.SDXL)
FLOORS = {TAGS: 0.9, SENTENCE: 0.85, SEVERAL: 0.9, "Spanish": 0.8, "slip": 0.8}
"""Kind → share of the wanted LoRAs that are applied, at least."""
MOST_WRONG = {TAGS: 1, SENTENCE: 1, "word": 5, "held": 2, "series": 2}
"""Kind → LoRAs that nobody asked for, at most; none of other kinds."""


@pytest.fixture(scope="module")
def tallies():
    analyzer, recommender = PromptAnalyzer(), LoRARecommender(Library(*LORAS))
    found: dict[str, Counter[str]] = {kind: Counter() for kind, *_ in PROMPTS}
    for kind, prompt, files in PROMPTS:
        chosen = {one.lora_name for one in recommender.choose(analyzer.analyze(prompt), SDXL).chosen}
        wanted = set(files.split())
        found[kind].update(wanted=len(wanted), applied=len(wanted & chosen), wrong=len(chosen - wanted))
        found[kind].update({f"missed {name}": 1 for name in wanted - chosen})
        found[kind].update({f"{prompt}: {name}": 1 for name in chosen - wanted})
    return found


def test_made_library_has_sixty_loras_and_eighty_prompts():
    assert len({one.model_id for one in LORAS}) == 60 and len(PROMPTS) == 80
    assert {name for *_, files in PROMPTS for name in files.split()} <= {one.name for one in LORAS}


@pytest.mark.parametrize("kind", sorted(FLOORS))
def test_choose_applies_what_is_wanted(tallies, kind):
    assert tallies[kind]["applied"] >= FLOORS[kind] * tallies[kind]["wanted"], tallies[kind]


@pytest.mark.parametrize("kind", sorted({kind for kind, *_ in PROMPTS}))
def test_choose_leaves_the_rest_alone(tallies, kind):
    assert tallies[kind]["wrong"] <= MOST_WRONG.get(kind, 0), tallies[kind]


def test_choose_leaves_everyday_prompts_alone(tallies):
    assert tallies[NOTHING]["wrong"] == 0
