"""Settings that ratings move: among those that were tried, and no other."""

from dataclasses import replace

import pytest

from intelligence.config import GenerationConstraints
from intelligence.learning import Preferences
from intelligence.learning.observations import Evidence, LoRATraits, Picture, Settings
from intelligence.learning.preferences import PictureRating, traits_of
from intelligence.learning.signals import Signal, edits, observations
from intelligence.models import ModelEvidence
from intelligence.parameters import ParameterOptimizer
from intelligence.parameters.baseline import as_edited
from intelligence.parameters.parameters import ParameterRequest
from intelligence.prompt import PromptAnalyzer
from intelligence.records import Source

SDXL = ModelEvidence(name="sd_xl_base_1.0.safetensors")
PROMPT = PromptAnalyzer().analyze("anime girl in a forest")
USUAL = ParameterOptimizer().choose(ParameterRequest(PROMPT, model=SDXL))


def rated(stars, prompt=PROMPT, **values):
    usual = {
        "cfg": USUAL.guidance_scale,
        "steps": USUAL.num_steps,
        "sampler": USUAL.sampler_name,
        "scheduler": USUAL.schedule or USUAL.scheduler,
        "size": (USUAL.width, USUAL.height),
    }
    settings = Settings(USUAL.family.value, **{**usual, **values})
    return PictureRating(traits_of(prompt), (), stars, settings=settings)


def choose(*pictures, kept=(), **request):
    model = Preferences(pictures).after(kept).model(lambda lora: LoRATraits(), 1)
    optimizer = ParameterOptimizer(taste=lambda: model if pictures or kept else None)
    return optimizer.choose(ParameterRequest(PROMPT, model=SDXL, **request))


def reason(parameters, setting):
    (found,) = [one for one in parameters.reasons if one.setting == setting]
    return found


def settings_of(parameters):
    return parameters.num_steps, parameters.guidance_scale, parameters.sampler_name, parameters.scheduler


def alternating(count, **values):
    return [rated(5, **values) if number % 2 == 0 else rated(2) for number in range(count)]


def test_cfg_that_was_liked_replaces_the_usual_one():
    found = choose(*alternating(6, cfg=4.0))
    assert found.guidance_scale <= 5
    told = reason(found, "cfg")
    assert (told.source, told.otherwise) == (Source.LEARNED, f"{USUAL.guidance_scale:g}")
    assert (told.arguments["stars"], told.arguments["others"]) == ("5, 5, 5", "2, 2, 2")


@pytest.mark.parametrize("stars", [1, 2, 5])
def test_settings_never_tried_never_move(stars):
    assert settings_of(choose(*[rated(stars)] * 20)) == settings_of(USUAL)


def test_value_that_is_no_better_stays_unused():
    assert settings_of(choose(*[rated(3), rated(3, cfg=4.0)] * 5)) == settings_of(USUAL)


@pytest.mark.parametrize(
    ("values", "field", "value"),
    [
        ({"steps": 45}, "num_steps", 45),
        ({"sampler": "dpmpp_2m_sde"}, "sampler_name", "dpmpp_2m_sde"),
        ({"scheduler": "sgm_uniform"}, "scheduler", "sgm_uniform"),
        ({"size": (768, 1344)}, "height", 1344),
    ],
)
def test_every_setting_is_learned(values, field, value):
    found = choose(*alternating(12, **values))
    assert getattr(found, field) == value


def test_override_wins():
    found = choose(*alternating(8, cfg=4.0), overrides={"guidance_scale": 6.5})
    assert found.guidance_scale == 6.5
    assert reason(found, "cfg").source is Source.USER


def test_manual_learns_nothing():
    assert choose(*alternating(8, cfg=4.0), manual=True).guidance_scale == 7.0


def test_distilled_model_keeps_what_it_needs():
    turbo = ModelEvidence(name="sd_xl_turbo_1.0_fp16.safetensors")
    family = ParameterOptimizer().choose(ParameterRequest(PROMPT, model=turbo)).family.value
    pictures = [rated(5, cfg=4.0), rated(2)] * 5
    pictures = [one._replace(settings=one.settings._replace(family=family)) for one in pictures]
    model = Preferences(pictures).model(lambda lora: LoRATraits(), 1)
    optimizer = ParameterOptimizer(taste=lambda: model)
    assert optimizer.choose(ParameterRequest(PROMPT, model=turbo)).guidance_scale == 1.0


def test_other_family_learns_nothing():
    pictures = [one._replace(settings=one.settings._replace(family="flux")) for one in alternating(8, cfg=4.0)]
    assert settings_of(choose(*pictures)) == settings_of(USUAL)


def edited_cfg(parameters):
    """The act that a generation with these settings shows, as an observation."""
    data = {"plan": {"recommendations": {"suggested_params": parameters.to_dict()}}}
    (signal,) = edits(data)
    assert signal == Signal(Evidence.SETTING, "cfg", USUAL.guidance_scale)
    settings = Settings(parameters.family.value, cfg=parameters.guidance_scale)
    return observations(signal, Picture(traits_of(PROMPT), settings=settings), ())


def test_edit_that_was_kept_is_evidence_without_a_star():
    kept = edited_cfg(
        ParameterOptimizer().choose(
            ParameterRequest(PROMPT, GenerationConstraints(), SDXL, overrides={"guidance_scale": 4.0})
        )
    )
    found = choose(kept=kept * 4)
    assert found.guidance_scale < USUAL.guidance_scale
    assert reason(found, "cfg").source is Source.LEARNED
    assert settings_of(choose(*[rated(3, cfg=4.0)] * 4)) == settings_of(USUAL)


def test_settings_edited_in_python_are_the_users():
    edited = as_edited(replace(USUAL, guidance_scale=4.0))
    assert reason(edited, "cfg").source is Source.USER
    assert len(edited_cfg(edited)) == 1
    assert as_edited(USUAL) == USUAL


def test_steps_that_a_time_limit_changed_are_not_the_users():
    hurried = replace(USUAL, num_steps=USUAL.num_steps - 3, max_time_seconds=9.0)
    assert as_edited(hurried) == hurried


def test_settings_as_offered_are_no_edit():
    assert edits({"plan": {"recommendations": {"suggested_params": USUAL.to_dict()}}}) == []
