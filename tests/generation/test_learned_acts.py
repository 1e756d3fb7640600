"""Words for acts beside stars and for pictures made before, and their removal."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelligence import LearningEngine, ModelRegistry
from intelligence.generation.learned import learned, learned_lines
from intelligence.generation.past_taste import past_observations
from intelligence.history import PastPicture
from intelligence.learning.observations import Evidence
from intelligence.pictures.look import Look
from intelligence.pictures.picture_info import UsedLoRA

INK, OIL = "lora:ink.safetensors", "lora:oil.safetensors"


@pytest.fixture
def stores(tmp_path: Path) -> tuple[ModelRegistry, LearningEngine]:
    """One LoRA was taken out of the suggestions, and cfg changed; of two pictures of a run one was picked."""
    learning = LearningEngine(tmp_path / "learning.db")
    offered = [{"lora": INK, "strength": 0.8, "confidence": 0.9}]
    reasons = [{"setting": "cfg", "source": "user", "otherwise": "7"}]
    parameters = {"family": "sdxl", "guidance_scale": 4.0, "reasons": reasons}
    stage = {"suggested_loras": [], "offered": offered, "suggested_params": parameters}
    data = {"plan": {"recommendations": stage}}
    for name, loras, run in (("before", [], "earlier"), ("a", [], "run"), ("b", [OIL], "run")):
        learning.record_generation(name, [f"{name}-0"], data, loras=loras, run_id=run)
    learning.signals.note_made("a", data)
    learning.signals.note("b", Evidence.PICKED)
    return ModelRegistry(tmp_path / "registry.db"), learning


def test_scouted_seed_is_told_in_words(stores: tuple[ModelRegistry, LearningEngine]) -> None:
    stores[1].signals.note("b", Evidence.SCOUTED, 2, [Look(*range(each, each + 8)) for each in range(4)])
    assert learned(*stores).acts[0].text == "finished a scouted seed, one of 4"


def test_acts_are_told_in_words(stores: tuple[ModelRegistry, LearningEngine]) -> None:
    found = learned(*stores)
    assert [one.text for one in found.acts] == [
        "picked a picture, one of 2",
        "changed cfg from 7.0",
        "took ink.safetensors out of the suggestions",
    ]
    assert {one.lora: (one.acts, one.count, one.effect < 0) for one in found.loras} == {
        INK: (1, 0, True),
        OIL: (1, 0, False),
    }
    text = "\n".join(learned_lines(found))
    assert "you took ink.safetensors out of the suggestions" in text and "(1 act beside stars)" in text


def test_acts_are_dropped_by_number_and_switched_off(stores: tuple[ModelRegistry, LearningEngine]) -> None:
    registry, learning = stores
    learning.signals.drop([learned(registry, learning).acts[0].number])
    assert [one.lora for one in learned(registry, learning).loras] == [INK]
    learning.signals.on = False
    found = learned(registry, learning)
    assert (found.loras, found.heeds_acts) == ((), False)
    assert "counts for nothing" in "\n".join(learned_lines(found))


def test_reset_takes_pictures_made_before_back(tmp_path: Path) -> None:
    learning = LearningEngine(tmp_path / "learning.db")
    pictures = [PastPicture("1", "p", loras=(UsedLoRA(lora),), prompt_key=lora, signal=1.0) for lora in (INK, OIL)]
    learning.reset(INK)
    (left,) = past_observations(pictures, learning.past_resets())
    assert left.picture.loras[0].lora == OIL
    learning.reset()
    assert past_observations(pictures, learning.past_resets()) == ()
