"""The choice of settings."""

import itertools
import json
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelligence.config import GenerationConstraints, Priority
from intelligence.errors import InvalidInputError
from intelligence.learning import Timing
from intelligence.memory import MemoryRequest, Resources
from intelligence.models import Architecture, Family, LoRAKind, ModelEvidence, ModelMetadata
from intelligence.parameters import Improvements, OptimizedParameters, ParameterOptimizer, ParameterRequest
from intelligence.parameters.parameter_request import ALIASES, OVERRIDES, canonical
from intelligence.parameters.schedules import SCHEDULER_NAMES, ZSNR_SCHEDULERS
from intelligence.parameters.timing import COSTS, decode_tflop, forward_tflop
from intelligence.prompt import ArtisticStyle, ComplexityCategory, ContentType, Intent, PromptAnalysis
from intelligence.records import Source

GPU = Resources("cuda", "Test GPU", 24, 22, 64, 48)
CPU = Resources("cpu", "Test CPU", 32, 24, 32, 24)
SDXL = ModelEvidence(name="sd_xl_base_1.0.safetensors", architecture=Architecture.SDXL)
MERGE = ModelEvidence(name="merge.safetensors", architecture=Architecture.SDXL)
LIGHTNING = ModelEvidence(name="sdxl_lightning_8step.safetensors", architecture=Architecture.SDXL)
VPRED = ModelEvidence(
    name="noobaiXL_vpred.safetensors",
    architecture=Architecture.SDXL,
    prediction="v_prediction",
    sigma_max=4518.8,
)
TFLOPS = 122.6


def ran(width, height, items):
    """A run on an A100 [30 steps of CFG at 1024² take 3.31 s]."""
    cost = COSTS[Architecture.SDXL]
    item, decode = forward_tflop(width, height, cost) / TFLOPS, decode_tflop(width, height, cost) / TFLOPS
    return Timing(width, height, 1, items, items // 2, item, item * items + decode + 0.3)


RUNS = [ran(*size, 40) for size in ((1024, 1024), (832, 1216), (768, 768))] * 6
A100 = ParameterOptimizer(timings=lambda key: RUNS)


@dataclass
class Chosen:
    lora_metadata: ModelMetadata


def analysis(style=ArtisticStyle.PHOTOREALISTIC, content=ContentType.PORTRAIT, **values):
    return PromptAnalysis("a prompt", intent=Intent(style, content), **values)


def choose(constraints=None, optimizer=A100, prompt=None, **values):
    memory = MemoryRequest(images=values.pop("images", 1))
    values = {"model": SDXL, "resources": GPU, "memory": memory} | values
    return optimizer.choose(ParameterRequest(prompt or analysis(), constraints or GenerationConstraints(), **values))


def reason(parameters, what):
    return next(item for item in parameters.reasons if item.setting == what)


def test_the_seeds_way_to_call_it_needs_no_more_than_prompt_and_constraints():
    parameters = ParameterOptimizer().optimize(analysis(), GenerationConstraints())
    parameters.check()
    assert parameters.family is Family.UNKNOWN
    assert parameters.confidence == 0
    assert "Safe defaults" in reason(parameters, "family").evidence
    assert parameters.estimated_time_seconds > 0


@pytest.mark.parametrize("priority", Priority)
def test_priorities_take_their_rows(priority):
    parameters = choose(GenerationConstraints(priority=priority))
    assert parameters.num_steps == {"SPEED": 10, "BALANCED": 20, "QUALITY": 30}[priority]
    assert (parameters.width, parameters.height) == (832, 1216)
    assert parameters.forward_items == {"SPEED": 18, "BALANCED": 34, "QUALITY": 60}[priority]
    assert parameters.optimization_strategy == priority


def test_more_quality_costs_more_time_and_ranks_higher():
    speed, balanced, quality = (choose(GenerationConstraints(priority=priority)) for priority in Priority)
    assert speed.estimated_time_seconds < balanced.estimated_time_seconds < quality.estimated_time_seconds
    assert speed.estimated_quality_score < balanced.estimated_quality_score < quality.estimated_quality_score


def test_a_schedule_goes_out_as_sigmas_and_a_core_name_stands_in_for_it():
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
def test_what_the_user_sets_is_kept(name, value, field, limit):
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
def test_a_wrong_override_is_refused(overrides, text):
    with pytest.raises(InvalidInputError, match=text):
        choose(overrides=overrides)


def test_canonical_names():
    assert canonical({"steps": 3, "cfg": 2, "width": 512}) == {"num_steps": 3, "guidance_scale": 2, "width": 512}
    assert set(ALIASES.values()) <= set(OVERRIDES)


def test_a_users_scheduler_replaces_the_schedule():
    parameters = choose(GenerationConstraints(priority=Priority.SPEED), overrides={"scheduler": "normal"})
    assert parameters.sigmas is None
    assert parameters.num_steps == 20


def test_a_users_steps_stretch_the_schedule():
    parameters = choose(GenerationConstraints(priority=Priority.SPEED), overrides={"steps": 14})
    assert len(parameters.sigmas) == 15


LADDER = [
    (100, "QUALITY"),
    (3.5, "QUALITY, late guidance cutoff"),
    (2.5, "QUALITY, late guidance cutoff, Align Your Steps"),
    (1.35, "QUALITY, late guidance cutoff, Align Your Steps, fewer steps"),
    (1.1, "QUALITY, late guidance cutoff, Align Your Steps, fewer steps, smaller size"),
]


@pytest.mark.parametrize(("limit", "strategy"), LADDER)
def test_the_time_ladder(limit, strategy):
    parameters = choose(GenerationConstraints(limit, priority=Priority.QUALITY))
    assert parameters.optimization_strategy == strategy
    assert parameters.estimated_time_seconds <= parameters.time_interval_seconds[1] <= limit
    assert parameters.num_steps >= 8
    assert (parameters.sigmas is None) == (limit > 3)
    assert (parameters.improvements.cfg_cutoff_sigma == 0) == (limit == 100)


def test_no_more_is_given_up_than_the_limit_needs():
    quality, cut, schedule, fewer, smaller = (
        choose(GenerationConstraints(limit, priority=Priority.QUALITY)) for limit, _ in LADDER
    )
    assert quality.num_steps == cut.num_steps
    assert quality.num_steps > schedule.num_steps >= 10 > fewer.num_steps >= smaller.num_steps == 8
    one_more = choose(GenerationConstraints(priority=Priority.SPEED), overrides={"steps": schedule.num_steps + 1})
    assert one_more.sigmas is not None
    assert one_more.time_interval_seconds[1] > 2.5
    assert smaller.width * smaller.height >= 0.8 * fewer.width * fewer.height


def test_a_limit_that_cannot_be_met_is_said_with_the_nearest_plan():
    parameters = choose(GenerationConstraints(0.1))
    text = reason(parameters, "time").evidence
    assert "cannot be met" in text
    assert f"{parameters.num_steps} steps at {parameters.width}x{parameters.height}" in text
    assert parameters.max_time_seconds == 0.1


def test_a_limit_within_the_interval_of_the_nearest_plan_may_not_be_held():
    nearest = choose(GenerationConstraints(0.1)).estimated_time_seconds
    assert "may not be held" in reason(choose(GenerationConstraints(1.001 * nearest)), "time").evidence


def test_an_unlearned_speed_is_said():
    optimizer = ParameterOptimizer()
    unknown = choose(optimizer=optimizer)
    assert unknown.time_interval_seconds is None
    assert "not known yet" in reason(unknown, "time").evidence
    assert "not known yet" in reason(choose(GenerationConstraints(1), optimizer), "time").evidence
    low, high = choose().time_interval_seconds
    assert f"({low:.3g} to {high:.3g})" in reason(choose(), "time").evidence


def test_what_decoding_takes_beside_a_forward_item_goes_along():
    found = choose(images=3)
    cost = COSTS[Architecture.SDXL]
    ratio = decode_tflop(found.width, found.height, cost) / forward_tflop(found.width, found.height, cost)
    assert found.decode_items == pytest.approx(ratio, rel=0.1)


def test_what_is_not_to_be_improved_is_plain():
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
def test_improvements_are_the_users_or_those_that_save(overrides, expected):
    parameters = choose(overrides=overrides)
    assert parameters.improvements == expected
    saved = parameters.forward_items < (40 if parameters.guidance_scale > 1 else 20)
    assert saved == expected.limits_guidance


@pytest.mark.parametrize("model", [LIGHTNING, VPRED, ModelEvidence()])
@pytest.mark.parametrize("limit", [None, 0.5])
def test_guidance_is_left_alone_where_the_model_needs_it_or_is_unknown(model, limit):
    assert choose(GenerationConstraints(limit), model=model).improvements == Improvements()


def test_a_complex_prompt_gets_more_steps_where_the_table_has_them():
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
        ({}, "guidance", "40 forward items"),
        ({}, "size", "1024x1024"),
        ({"model": LIGHTNING}, "steps", "24 for an unknown model"),
    ],
)
def test_every_value_says_what_it_would_have_been(values, what, otherwise):
    assert reason(choose(**values), what).otherwise == otherwise


@pytest.mark.parametrize(
    ("clip_skip", "text"), [(None, "model default (-2)"), (-2, "set by you: -2"), (-1, "falls apart")]
)
def test_clip_skip_is_explained(clip_skip, text):
    assert text in reason(choose(overrides={"clip_skip": clip_skip}), "clip_skip").evidence


@pytest.mark.parametrize("limit", [None, 5.0, 0.01])
@pytest.mark.parametrize("priority", Priority)
def test_a_distilled_model_keeps_its_steps_and_cfg(limit, priority):
    parameters = choose(GenerationConstraints(limit, priority=priority), model=LIGHTNING)
    assert (parameters.num_steps, parameters.guidance_scale, parameters.scheduler) == (8, 1.0, "sgm_uniform")
    assert parameters.sigmas is None


@pytest.mark.parametrize("limit", [None, 5.0, 0.01])
@pytest.mark.parametrize("priority", Priority)
def test_zero_terminal_snr_keeps_its_schedule_and_rescale(limit, priority):
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
def test_a_users_value_against_the_models_need_wins_with_a_warning(model, overrides, what, text):
    assert text in reason(choose(model=model, overrides=overrides), what).evidence


def test_a_users_value_that_a_distilled_model_allows_is_no_matter():
    allowed = choose(model=ModelEvidence(name="lcm_sdxl"), overrides={"cfg": 1.3, "steps": 7})
    assert all("distilled" not in item.evidence for item in allowed.reasons)


def test_a_few_step_lora_decides_the_settings_but_not_the_size():
    lora = ModelMetadata(
        "lora:sdxl_lightning_4step_lora", "sdxl_lightning_4step_lora", lora_kind=LoRAKind.SPEED, family=Family.LIGHTNING
    )
    parameters = choose(loras=[Chosen(lora)], model=ModelEvidence(name="ponyDiffusionV6XL.safetensors"))
    assert (parameters.num_steps, parameters.guidance_scale, parameters.family) == (4, 1.0, Family.LIGHTNING)
    assert (parameters.width, parameters.height) == (832, 1216)
    assert "sdxl_lightning_4step_lora" in reason(parameters, "few-step LoRA").evidence


def test_an_ordinary_lora_changes_nothing():
    lora = ModelMetadata("lora:x", "lightning_mage", lora_kind=LoRAKind.CHARACTER, family=Family.SDXL)
    assert choose(loras=[Chosen(lora)]) == choose()


@pytest.mark.parametrize(
    ("prompt", "loras", "model", "family"),
    [
        (analysis(quality_family="pony"), (), ModelEvidence(), Family.PONY),
        (analysis(quality_family="pony"), (), MERGE, Family.PONY),
        (analysis(), (ModelMetadata("lora:a", "a", family=Family.ILLUSTRIOUS),), MERGE, Family.ILLUSTRIOUS),
        (analysis(), (ModelMetadata("lora:a", "a", family=Family.SDXL),), ModelEvidence(), Family.UNKNOWN),
        (analysis(), (), replace(MERGE, loras=("pony_hats.safetensors",)), Family.PONY),
        (analysis(quality_family="gibberish"), (), ModelEvidence(), Family.UNKNOWN),
    ],
)
def test_an_unnamed_model_is_taken_for_what_the_company_says(prompt, loras, model, family):
    parameters = choose(prompt=prompt, model=model, loras=[Chosen(lora) for lora in loras])
    assert parameters.family is family
    assert parameters.confidence <= 0.45


def test_a_named_model_keeps_its_family_whatever_the_prompt_says():
    assert choose(prompt=analysis(quality_family="pony")).family is Family.SDXL


SPEED_LORAS = [
    ("sdxl_lightning_4step_lora", Family.LIGHTNING, 4, 1.0, "euler"),
    ("sdxl_lightning_8step_lora", Family.LIGHTNING, 8, 1.0, "euler"),
    ("Hyper-SDXL-4steps-lora", Family.HYPER, 4, 1.0, "euler"),
    ("Hyper-SDXL-12steps-CFG-lora", Family.HYPER, 12, 5.0, "euler"),
    ("lcm-lora-sdxl", Family.LCM, 8, 1.5, "lcm"),
    ("dmd2_sdxl_4step_lora_fp16", Family.DMD2, 4, 1.0, "lcm"),
    ("sdxl_turbo_lora", Family.TURBO, 2, 1.0, "euler_ancestral"),
]


@pytest.mark.parametrize(("name", "family", "steps", "cfg", "sampler"), SPEED_LORAS)
@pytest.mark.parametrize("known", [True, False])
def test_a_speed_lora_changes_the_family(name, family, steps, cfg, sampler, known):
    lora = ModelMetadata(f"lora:{name}", name, lora_kind=LoRAKind.SPEED, family=family)
    pony = ModelEvidence(name="ponyDiffusionV6XL.safetensors")
    if known:
        parameters = choose(loras=[Chosen(lora)], model=pony)
    else:
        parameters = choose(model=replace(pony, loras=(f"{name}.safetensors",)))
    assert (parameters.family, parameters.num_steps, parameters.guidance_scale) == (family, steps, cfg)
    assert (parameters.sampler_name, parameters.width, parameters.height) == (sampler, 832, 1216)
    assert reason(parameters, "few-step LoRA").otherwise == "25 steps, cfg 7, euler_ancestral, as for Pony"


def test_an_ordinary_lora_upstream_changes_nothing_but_the_evidence():
    assert choose(model=replace(SDXL, loras=("lightning_mage.safetensors",))) == choose()


def test_a_users_table_in_the_data_folder_is_used(tmp_path):
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


def test_a_memory_limit_is_met_by_the_memory_plan_and_its_peak_is_predicted():
    parameters = choose(GenerationConstraints(max_vram_gb=6.0))
    assert parameters.estimated_vram_gb <= 6.0
    assert (parameters.width, parameters.height) == (832, 1216)
    assert parameters.max_vram_gb == 6.0
    assert all(item.setting != "memory" for item in parameters.reasons)


def test_a_memory_limit_that_nothing_meets_is_said_with_the_nearest_plan():
    text = reason(choose(GenerationConstraints(max_vram_gb=0.3)), "memory").evidence
    assert text.startswith("the 0.3 GiB at hand are too few; the nearest plan is SEQUENTIAL")


def test_a_smaller_size_comes_after_all_that_the_memory_plan_can_do():
    whole = choose().width * choose().height
    limits = [limit / 100 for limit in range(40, 120)]
    chosen = [choose(GenerationConstraints(max_vram_gb=limit)) for limit in limits]
    smaller = [parameters for parameters in chosen if parameters.width * parameters.height < whole]
    for parameters in smaller:
        assert "smaller size" in parameters.optimization_strategy
        assert parameters.estimated_vram_gb <= parameters.max_vram_gb
        assert parameters.width * parameters.height >= 0.8 * whole
    kept = choose(GenerationConstraints(max_vram_gb=0.5), overrides={"width": 1024, "height": 1024})
    assert (kept.width, kept.height) == (1024, 1024)


def test_on_a_cpu_no_vram_is_predicted_and_the_limit_does_not_bind():
    parameters = choose(GenerationConstraints(max_vram_gb=0.1), resources=CPU)
    assert parameters.estimated_vram_gb == 0
    assert (parameters.width, parameters.height) == (832, 1216)


def test_time_is_for_all_images():
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
def test_every_choice_can_be_sampled_travels_and_repeats(style, content, priority, family, limit, vram, device, images):
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


@pytest.mark.parametrize("model", [SDXL, VPRED, ModelEvidence(), ModelEvidence(name="v1-5-pruned")])
def test_neighbours_start_with_the_choice_and_differ(model):
    parameters = choose(GenerationConstraints(priority=Priority.SPEED), model=model)
    found = A100.neighbours(parameters, 8)
    assert found[0] is parameters
    keys = [(p.num_steps, p.guidance_scale, p.sampler_name, p.scheduler, p.sigmas) for p in found]
    assert len(set(keys)) == len(keys) == 8
    assert found == A100.neighbours(parameters, 8)
    for one, other in itertools.pairwise(found):
        assert one != other
        other.check()
        assert other.sigmas is None or len(other.sigmas) == other.num_steps + 1
        changed = {item.setting for item in other.reasons if item.message == "parameters.variation"}
        assert changed
        values = {"steps": other.num_steps, "cfg": other.guidance_scale}
        assert all(reason(other, setting).value == values[setting] for setting in values.keys() & changed)
        if model is VPRED:
            assert other.scheduler in ZSNR_SCHEDULERS
            assert other.rescale_cfg == 0.7


def test_neighbours_of_a_distilled_model_keep_what_it_needs():
    assert A100.neighbours(choose(model=LIGHTNING), 5) == [choose(model=LIGHTNING)]
    lcm = A100.neighbours(choose(model=ModelEvidence(name="lcm_sdxl")), 9)
    assert len(lcm) > 1
    assert all(6 <= p.num_steps <= 8 and 1 <= p.guidance_scale <= 1.8 and p.sampler_name == "lcm" for p in lcm)


def test_neighbours_leave_what_the_user_set():
    found = A100.neighbours(choose(overrides={"cfg": 6.5, "sampler": "euler"}), 9)
    assert {(p.guidance_scale, p.sampler_name) for p in found} == {(6.5, "euler")}
    assert len(found) == 9


def test_neighbours_hold_the_time_limit():
    free = A100.neighbours(choose(), 9)
    limit = choose().estimated_time_seconds * 1.1
    parameters = choose(GenerationConstraints(max_time_seconds=limit))
    assert parameters.num_steps == choose().num_steps
    found = A100.neighbours(parameters, 9)
    assert len(found) == 9
    assert any(p.estimated_time_seconds > limit for p in free)
    assert all(p.time_interval_seconds[1] <= limit for p in found)


def test_neighbours_of_a_choice_that_cannot_hold_its_limit_take_no_longer():
    parameters = choose(GenerationConstraints(max_time_seconds=0.01))
    found = A100.neighbours(parameters, 6)
    assert len(found) > 1
    assert all(p.estimated_time_seconds <= parameters.estimated_time_seconds for p in found)


def test_a_neighbour_of_align_your_steps_with_a_core_schedule_has_twice_the_steps():
    parameters = choose(GenerationConstraints(priority=Priority.SPEED))
    other = next(p for p in A100.neighbours(parameters, 9) if p.sigmas is None)
    assert other.num_steps == 2 * parameters.num_steps
    assert "instead of Align Your Steps" in reason(other, "scheduler").evidence


def test_more_steps_are_predicted_to_take_longer():
    parameters = choose()
    longer = next(p for p in A100.neighbours(parameters, 9) if p.num_steps > parameters.num_steps)
    assert longer.estimated_time_seconds > parameters.estimated_time_seconds
    assert longer.forward_items > parameters.forward_items


@pytest.mark.parametrize("count", [0, -1, True, 2.0])
def test_a_wrong_count_is_refused(count):
    with pytest.raises(InvalidInputError, match="count"):
        A100.neighbours(choose(), count)
