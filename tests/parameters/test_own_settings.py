"""Settings of pictures that the user made before with a checkpoint, as the usual ones."""

import pytest

from intelligence.config import GenerationConstraints, HistorySettings, Priority
from intelligence.history import PictureHistory
from intelligence.history.own_use import CheckpointUse
from intelligence.models import ModelEvidence
from intelligence.parameters import ParameterOptimizer
from intelligence.parameters.parameter_messages import ParameterMessage
from intelligence.parameters.parameters import ParameterRequest
from intelligence.prompt import PromptAnalyzer

SDXL = ModelEvidence(name="sd_xl_base_1.0.safetensors")
TURBO = ModelEvidence(name="sd_xl_turbo_1.0_fp16.safetensors")
PROMPT = PromptAnalyzer().analyze("a fox in a forest")
OWN = {"cfg": 5.5, "steps": 34, "sampler": "dpmpp_2m_sde", "scheduler": "exponential"}


def choose(settings, pictures=9, model=SDXL, **request):
    use = CheckpointUse("sd_xl_base_1.0", pictures, settings)
    optimizer = ParameterOptimizer(own_settings=lambda checkpoint: use)
    return optimizer.choose(ParameterRequest(PROMPT, model=model, **request))


def values(parameters):
    return {
        "cfg": parameters.guidance_scale,
        "steps": parameters.num_steps,
        "sampler": parameters.sampler_name,
        "scheduler": parameters.scheduler,
    }


def own(parameters):
    return {one.setting for one in parameters.reasons if one.message == ParameterMessage.OWN_SETTING.key}


def test_own_settings_are_the_usual_ones():
    found = choose(OWN)
    assert values(found) == OWN
    assert own(found) == set(OWN)


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        (OWN, {"pictures": 4}),
        (OWN, {"model": TURBO}),
        (OWN, {"manual": True}),
        (OWN, {"learned": False}),
        ({"cfg": 30.0, "steps": 400, "sampler": "DPM++ 2M", "scheduler": "Karras"}, {}),
        ({}, {}),
    ],
    ids=["too few", "distilled", "manual", "without learning", "out of range or unknown", "nothing told"],
)
def test_own_settings_that_do_not_count(settings, more):
    assert values(choose(settings, **more)) == values(choose({}, **more))


def test_a_priority_keeps_its_steps_and_the_user_wins():
    speed = GenerationConstraints(priority=Priority.SPEED)
    assert choose(OWN, constraints=speed).num_steps == choose({}, constraints=speed).num_steps
    found = choose(OWN, overrides={"guidance_scale": 6.0})
    assert (found.guidance_scale, own(found)) == (6.0, set(OWN) - {"cfg"})


def test_usual_settings_are_read_from_pictures_of_the_checkpoint(tmp_path):
    from PIL import Image, PngImagePlugin

    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, (model, cfg) in enumerate([("mymix", 4.5)] * 6 + [("other", 9.0)] * 6):
        info = PngImagePlugin.PngInfo()
        facts = f"Steps: 28, Sampler: Euler a, CFG scale: {cfg}, Seed: {number}, Size: 64x64, Model: {model}"
        text = f"a fox {number}\n{facts}"
        info.add_text("parameters", text)
        Image.new("RGB", (64, 64)).save(folder / f"{number}.png", pnginfo=info)
    history = PictureHistory(tmp_path / "history.db", HistorySettings(read=True))
    history.read([folder])
    use = history.usual_settings("MyMix.safetensors")
    assert (use.pictures, use.settings["cfg"], use.settings["steps"]) == (6, 4.5, 28)
    assert values(choose(use.settings))["sampler"] == "euler_ancestral"
    assert history.usual_settings("unknown") is None


@pytest.mark.parametrize(
    ("size", "more", "is_taken"),
    [
        ("768x1344", {}, True),
        ("1664x2432", {}, False),
        ("512x512", {}, False),
        ("1001x1024", {}, False),
        ("768x1344", {"aspect": "square"}, False),
        ("768x1344", {"pictures": 4}, False),
        ("768x1344", {"overrides": {"width": 1024}}, False),
    ],
    ids=["near the native one", "enlarged", "small", "odd", "an aspect is asked for", "too few", "the user's own"],
)
def test_own_size_is_the_usual_one(size, more, is_taken):
    found = choose({"size": size}, **more)
    assert (f"{found.width}x{found.height}" == size, own(found) == {"size"}) == (is_taken, is_taken)
