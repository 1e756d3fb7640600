"""LoRAs known by file name alone, called by what their user wrote with them before."""

import random

import pytest

from intelligence.history import PictureHistory
from intelligence.lora import LoRARecommender
from intelligence.lora.lora_messages import LoRAMessage
from intelligence.lora.own_phrases import OWN, own_triggers
from intelligence.models import Architecture, ExamplePrompt, ModelEvidence, TriggerSet
from intelligence.prompt import PromptAnalyzer
from tests.benchmarks.history import texts, write
from tests.lora.library import Library, lora

pytestmark = pytest.mark.unit

SDXL = ModelEvidence(name="some_sdxl.safetensors", architecture=Architecture.SDXL)
SCENES = ("harbour at dusk", "mountain hut", "old library", "crowded market", "winter forest")
HABIT = "gouache lighthouse, {}, masterpiece, soft light"
OTHER = "portrait of a knight, {}, masterpiece, soft light"
MINE, YOURS = lora("xk_0417b"), lora("final2_e9")


def own(*prompts):
    return tuple(ExamplePrompt(prompt, 0.7, False, own=True) for prompt in prompts)


def test_own_triggers_are_what_is_written_with_one_lora_alone():
    pictures = {"a": own(*map(HABIT.format, SCENES)), "b": own(*map(OTHER.format, SCENES))}
    found = own_triggers(pictures)
    assert found["a"] == (TriggerSet(("gouache lighthouse",), OWN),)
    assert "masterpiece" not in str(found) and "soft" not in str(found)


@pytest.mark.parametrize(
    "pictures",
    [
        {"a": own(HABIT.format("rain"), HABIT.format("snow"))},
        {"a": own(*map(HABIT.format, SCENES)), "b": own(*(HABIT.format(one) + ", night" for one in SCENES))},
        {"a": own("1girl, solo", "1girl, solo, smile", "1girl, solo, long hair")},
    ],
    ids=["two prompts", "another is used for it too", "everyday tags"],
)
def test_own_triggers_of_nothing_that_is_one_loras_own(pictures):
    assert own_triggers(pictures) == {}


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "output"
    folder.mkdir()
    for number, scene in enumerate((*SCENES, *SCENES)):
        model, prompt = ((MINE, HABIT), (YOURS, OTHER))[number >= len(SCENES)]
        told = texts("a1111", prompt.format(scene), [(model.name, 0.7)], number, random.Random(0))
        write(folder / f"{number}.png", told, 1.7e9 + 9000 * number)
    history = PictureHistory(tmp_path / "history.db")
    history.switch(True, [folder])
    history.read()
    yield history
    history.close()


def test_choose_applies_the_lora_that_such_prompts_always_had(pictures):
    analysis = PromptAnalyzer().analyze("gouache lighthouse on a cliff, storm")
    assert not LoRARecommender(Library(MINE, YOURS)).choose(analysis, SDXL).chosen
    (chosen,) = LoRARecommender(Library(MINE, YOURS), pictures=pictures).choose(analysis, SDXL).chosen
    assert (chosen.lora_name, chosen.suggested_alpha) == (MINE.name, 0.7)
    assert LoRAMessage.OWN_WORDS.key in [reason.message for reason in chosen.reasons]


def test_own_phrases_are_never_added_nor_handed_on(pictures):
    recommender = LoRARecommender(Library(MINE, YOURS), pictures=pictures)
    (named,) = recommender.choose(PromptAnalyzer().analyze(f"a dog <lora:{MINE.name}:1>"), SDXL).chosen
    assert (named.trigger_words, named.lora_metadata.trigger_sets) == ((), ())
    assert all(not one.lora_metadata.trigger_sets for one in recommender.rank(PromptAnalyzer().analyze("a lighthouse")))


def test_choose_applies_nothing_to_prompts_of_another_kind(pictures):
    recommender = LoRARecommender(Library(MINE, YOURS), pictures=pictures)
    for prompt in ("a dog on a beach, masterpiece, soft light", "a knight's tale, book cover", "an old library"):
        assert not recommender.choose(PromptAnalyzer().analyze(prompt), SDXL).chosen, prompt
