"""The choice of settings."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelligence.config import GenerationConstraints, Priority
from intelligence.errors import InvalidInputError
from intelligence.models import Architecture, Family, ModelEvidence
from intelligence.parameters import Improvements, OptimizedParameters, ParameterOptimizer
from intelligence.parameters.parameters import ALIASES, OVERRIDES, canonical
from intelligence.parameters.schedules import SCHEDULER_NAMES, ZSNR_SCHEDULERS
from intelligence.parameters.workload import COSTS, decode_tflop, forward_tflop
from intelligence.prompt import ArtisticStyle, ComplexityCategory, ContentType
from intelligence.records import Source
from tests.parameters.choices import CPU, GPU, LIGHTNING, VPRED, analysis, choose, reason


def test_optimize_needs_only_prompt_and_constraints():
    parameters = ParameterOptimizer().optimize(analysis(), GenerationConstraints())
    parameters.check()
    assert parameters.family is Family.UNKNOWN
    assert parameters.confidence == 0
    assert "Safe defaults" in reason(parameters, "family").evidence
    assert parameters.estimated_time_seconds > 0


@pytest.mark.parametrize("priority", Priority)
def test_choose_takes_profile_of_priority(priority):
    parameters = choose(GenerationConstraints(priority=priority))
    assert parameters.num_steps == {"SPEED": 10, "BALANCED": 20, "QUALITY": 30}[priority]
    assert (parameters.width, parameters.height) == (832, 1216)
    assert parameters.forward_items == {"SPEED": 18, "BALANCED": 34, "QUALITY": 60}[priority]
    assert parameters.optimization_strategy == priority


def test_choose_quality_takes_longer_and_ranks_higher():
    speed, balanced, quality = (choose(GenerationConstraints(priority=priority)) for priority in Priority)
    assert speed.estimated_time_seconds < balanced.estimated_time_seconds < quality.estimated_time_seconds
    assert speed.estimated_quality_score < balanced.estimated_quality_score < quality.estimated_quality_score


def test_choose_schedule_gives_sigmas_and_core_name():
    parameters = choose(GenerationConstraints(priority=Priority.SPEED))
    assert len(parameters.sigmas) == parameters.num_steps + 1
    assert parameters.scheduler in SCHEDULER_NAMES
    assert "stands in" in reason(parameters, "scheduler").evidence


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("num_steps", 33, "num_steps"),
        ("steps", 33, "num_steps"),
        ("cfg", 3, "guidance_scale"),
        ("cfg_scale", 3.5, "guidance_scale"),
        ("guidance_scale", 0, "guidance_scale"),
        ("sampler", "heun", "sampler_name"),
        ("scheduler", "beta", "scheduler"),
        ("width", 640, "width"),
        ("height", 640, "height"),
        ("clip_skip", -2, "clip_skip"),
        ("batch_size", 3, "batch_size"),
        ("rescale_cfg", 0.3, "rescale_cfg"),
    ],
)
@pytest.mark.parametrize("limit", [None, 0.5])
def test_choose_keeps_override(name, value, field, limit):
    parameters = choose(GenerationConstraints(max_time_seconds=limit), overrides={name: value})
    assert getattr(parameters, field) == value
    assert any(item.source is Source.USER for item in parameters.reasons)


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"stepz": 3}, "num_steps.*steps"),
        ({"sigmas": (1, 0)}, "no setting"),
        ({"steps": 3, "num_steps": 4}, "twice"),
        ({"steps": 0}, "num_steps"),
        ({"steps": True}, "num_steps"),
        ({"steps": 20.5}, "num_steps"),
        ({"steps": "20"}, "num_steps"),
        ({"cfg": float("nan")}, "guidance_scale"),
        ({"cfg": "7"}, "guidance_scale"),
        ({"width": 1001}, "width"),
        ({"height": 0}, "height"),
        ({"clip_skip": 2}, "clip_skip"),
        ({"batch_size": 0}, "batch_size"),
        ({"sampler": "eular"}, "euler"),
        ({"sampler": ""}, "sampler_name"),
        ({"scheduler": 7}, "scheduler"),
        ({"cfg_cutoff_sigma": -1}, "cfg_cutoff_sigma"),
        ({"cfg_cutoff_sigma": "low"}, "cfg_cutoff_sigma"),
        ({"easycache": 0.2, "cfg_cutoff_sigma": 0.28}, "easycache"),
        ({"rescale_cfg": 2}, "rescale_cfg"),
    ],
)
def test_choose_refuses_wrong_override(overrides, text):
    with pytest.raises(InvalidInputError, match=text):
        choose(overrides=overrides)


def test_canonical_takes_aliases():
    assert canonical({"steps": 3, "cfg": 2, "width": 512}) == {"num_steps": 3, "guidance_scale": 2, "width": 512}
    assert set(ALIASES.values()) <= set(OVERRIDES)


def test_choose_user_scheduler_replaces_schedule():
    parameters = choose(GenerationConstraints(priority=Priority.SPEED), overrides={"scheduler": "normal"})
    assert parameters.sigmas is None
    assert parameters.num_steps == 20


def test_choose_user_steps_stretch_schedule():
    parameters = choose(GenerationConstraints(priority=Priority.SPEED), overrides={"steps": 14})
    assert len(parameters.sigmas) == 15


def test_choose_predicts_decode_items():
    found = choose(images=3)
    cost = COSTS[Architecture.SDXL]
    ratio = decode_tflop(found.width, found.height, cost) / forward_tflop(found.width, found.height, cost)
    assert found.decode_items == pytest.approx(ratio, rel=0.1)


def test_choose_manual_improves_nothing():
    parameters = choose(GenerationConstraints(1.0, priority=Priority.SPEED), manual=True)
    assert parameters.improvements == Improvements()
    assert parameters.sigmas is None
    assert parameters.rescale_cfg == choose(model=VPRED, manual=True).rescale_cfg == 0


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, Improvements(0.28)),
        ({"cfg_cutoff_sigma": 0.0}, Improvements()),
        ({"cfg_cutoff_sigma": 0.5, "cfg_start_sigma": 5.4}, Improvements(0.5, 5.4)),
        ({"easycache": 0.2}, Improvements(easycache=0.2)),
        ({"sampler": "euler_cfg_pp"}, Improvements()),
        ({"cfg": 1.0}, Improvements()),
    ],
)
def test_choose_improvements_by_user_or_saving(overrides, expected):
    parameters = choose(overrides=overrides)
    assert parameters.improvements == expected
    saved = parameters.forward_items < (40 if parameters.guidance_scale > 1 else 20)
    assert saved == expected.limits_guidance


@pytest.mark.parametrize("model", [LIGHTNING, VPRED, ModelEvidence()])
@pytest.mark.parametrize("limit", [None, 0.5])
def test_choose_keeps_guidance_of_special_or_unknown_model(model, limit):
    assert choose(GenerationConstraints(limit), model=model).improvements == Improvements()


def test_choose_complex_prompt_gets_more_steps():
    prompt = analysis(complexity_category=ComplexityCategory.COMPLEX)
    parameters = choose(GenerationConstraints(priority=Priority.QUALITY), prompt=prompt)
    assert parameters.num_steps == 32
    assert reason(parameters, "steps").otherwise == "30"
    assert choose(prompt=prompt, model=LIGHTNING).num_steps == 8


@pytest.mark.parametrize(
    ("values", "what", "otherwise"),
    [
        ({"constraints": GenerationConstraints(priority=Priority.QUALITY)}, "steps", "20 at BALANCED priority"),
        ({"prompt": analysis(ArtisticStyle.ANIME)}, "sampler", "dpmpp_2m for another style"),
        ({}, "cfg", "6 for an unknown model"),
        ({}, "guidance", "40 passes of the model"),
        ({}, "size", "1024x1024"),
        ({"model": LIGHTNING}, "steps", "24 for an unknown model"),
    ],
)
def test_choose_reason_says_otherwise(values, what, otherwise):
    assert reason(choose(**values), what).otherwise == otherwise


@pytest.mark.parametrize(
    ("clip_skip", "text"), [(None, "model default (-2)"), (-2, "set by you: -2"), (-1, "falls apart")]
)
def test_clip_skip_reason(clip_skip, text):
    assert text in reason(choose(overrides={"clip_skip": clip_skip}), "clip_skip").evidence


@pytest.mark.parametrize("limit", [None, 5.0, 0.01])
@pytest.mark.parametrize("priority", Priority)
def test_choose_keeps_steps_and_cfg_of_distilled_model(limit, priority):
    parameters = choose(GenerationConstraints(limit, priority=priority), model=LIGHTNING)
    assert (parameters.num_steps, parameters.guidance_scale, parameters.scheduler) == (8, 1.0, "sgm_uniform")
    assert parameters.sigmas is None


@pytest.mark.parametrize("limit", [None, 5.0, 0.01])
@pytest.mark.parametrize("priority", Priority)
def test_choose_keeps_schedule_and_rescale_of_zsnr_model(limit, priority):
    parameters = choose(GenerationConstraints(limit, priority=priority), model=VPRED)
    assert parameters.scheduler in ZSNR_SCHEDULERS
    assert parameters.sigmas is None
    assert parameters.rescale_cfg == 0.7


@pytest.mark.parametrize(
    ("model", "overrides", "what", "text"),
    [
        (LIGHTNING, {"steps": 30}, "steps", "distilled for 8"),
        (LIGHTNING, {"cfg": 7}, "cfg", "distilled for 1"),
        (ModelEvidence(name="lcm_sdxl"), {"cfg": 3}, "cfg", "distilled for 1 to 1.8"),
        (VPRED, {"scheduler": "karras"}, "scheduler", "useless noise levels"),
    ],
)
def test_user_reason_warns_of_value_against_model(model, overrides, what, text):
    assert text in reason(choose(model=model, overrides=overrides), what).evidence


def test_user_reason_accepts_value_within_distilled_range():
    allowed = choose(model=ModelEvidence(name="lcm_sdxl"), overrides={"cfg": 1.3, "steps": 7})
    assert all("distilled" not in item.evidence for item in allowed.reasons)


def test_optimizer_reads_users_table(tmp_path):
    row = {"steps": 33, "cfg": 3.5, "sampler": "euler", "scheduler": "beta", "source": "me"}
    entry = {"native": "512", "looks": {"default": {"BALANCED": row}}}
    table = tmp_path / "families.json"
    optimizer = ParameterOptimizer(table=table)
    assert choose(optimizer=optimizer).num_steps == 20
    table.write_text(json.dumps({"families": {"sdxl": entry}}))
    parameters = choose(optimizer=optimizer)
    assert (parameters.num_steps, parameters.scheduler, parameters.height) == (33, "beta", 608)
    table.write_text("{")
    with pytest.raises(InvalidInputError, match=r"families\.json: not JSON"):
        choose(optimizer=optimizer)


def test_prediction_of_other_passes_is_the_one_that_is_told():
    chosen = choose()
    made = ParameterOptimizer().predicted(chosen, 2 * chosen.forward_items)
    before, told = (next(reason for reason in each.reasons if reason.setting == "time") for each in (chosen, made))
    assert told.value == round(made.estimated_time_seconds, 3) > before.value
    assert told.arguments["device"] == before.arguments["device"]


def test_choose_on_cpu_predicts_no_vram():
    parameters = choose(GenerationConstraints(max_vram_gb=0.1), resources=CPU)
    assert parameters.estimated_vram_gb == 0
    assert (parameters.width, parameters.height) == (832, 1216)


def test_choose_predicts_time_of_all_images():
    one, four = choose(), choose(images=4)
    assert four.estimated_time_seconds - 0.3 == pytest.approx(4 * (one.estimated_time_seconds - 0.3), rel=0.01)
    assert four.forward_items == 4 * one.forward_items
    assert four.batch_size == 4


@settings(max_examples=60, deadline=None)
@given(
    style=st.sampled_from(ArtisticStyle),
    content=st.sampled_from(ContentType),
    priority=st.sampled_from(Priority),
    family=st.sampled_from(Family),
    limit=st.none() | st.floats(0.01, 1000),
    vram=st.none() | st.floats(0.1, 80),
    device=st.sampled_from([GPU, CPU]),
    images=st.integers(1, 9),
)
def test_choose_is_valid_serialisable_and_deterministic(style, content, priority, family, limit, vram, device, images):
    def decide():
        return choose(
            GenerationConstraints(limit, vram, priority),
            prompt=analysis(style, content),
            model=ModelEvidence(family=family),
            images=images,
            resources=device,
        )

    parameters = decide()
    parameters.check()
    assert parameters == decide()
    assert OptimizedParameters.from_json(parameters.to_json()) == parameters
    assert parameters.scheduler in SCHEDULER_NAMES
    assert 0 <= parameters.estimated_quality_score <= 1
    assert {"family", "steps", "cfg", "sampler", "scheduler", "size", "clip_skip", "time"} <= {
        item.setting for item in parameters.reasons
    }


@pytest.mark.parametrize(
    ("cfg", "improvements", "guided"),
    [
        (7.0, Improvements(), range(1, 5)),
        (7.0, Improvements(1.0), range(1, 4)),
        (7.0, Improvements(1.0, 5.0), range(2, 4)),
        (7.0, Improvements(20.0), range(1, 1)),
        (1.0, Improvements(), range(1, 1)),
    ],
)
def test_guided_steps(cfg: float, improvements: Improvements, guided: range):
    parameters = replace(choose(), guidance_scale=cfg, improvements=improvements)
    assert parameters.guided_steps((14.6, 5.0, 2.0, 1.0, 0.0)) == guided
