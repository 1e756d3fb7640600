"""Settings of every family against the published ones, by hand from model cards and ComfyUI's templates."""

from __future__ import annotations

import itertools

import pytest

from intelligence.config import GenerationConstraints, Priority
from intelligence.models import Architecture as A
from intelligence.models import Family as F
from intelligence.models import LoRAKind, ModelEvidence, ModelMetadata
from intelligence.models.kinds import SPEED_LORA_FAMILIES
from intelligence.models.latents import LatentKind
from intelligence.parameters import OptimizedParameters, find_profile
from intelligence.parameters.schedules import FIXED_TABLES, explicit_sigmas
from tests.parameters.choices import Chosen, choose, reason

EULER = ("euler", "simple")
RES = ("res_multistep", "simple")
KARRAS = ("dpmpp_2m", "karras")
ANCESTRAL = ("euler_ancestral", "normal")

SETTINGS = [
    # name of the file, family, steps and cfg at BALANCED, steps and cfg at QUALITY, sampler and scheduler, side
    ("z_image_turbo_bf16", F.Z_IMAGE_TURBO, (8, 1), (8, 1), RES, 1024),
    ("z_image_bf16", F.Z_IMAGE, (25, 4), (50, 4), RES, 1024),
    ("krea2_turbo_fp8_scaled", F.KREA2_TURBO, (8, 1), (8, 1), EULER, 1024),
    ("krea2_raw_bf16", F.KREA2_RAW, (28, 5.5), (52, 5.5), EULER, 1024),
    ("qwen_image_fp8_e4m3fn", F.QWEN_IMAGE, (20, 4), (20, 4), EULER, 1328),
    ("qwen_image_2512_fp8_e4m3fn", F.QWEN_IMAGE_2512, (50, 4), (50, 4), EULER, 1328),
    ("qwen_image_edit_2511_bf16", F.QWEN_IMAGE_EDIT, (40, 3), (40, 3), EULER, 1328),
    ("qwen_image_2.1_bf16", F.QWEN_IMAGE_21, (25, 1), (50, 1), EULER, 1024),
    ("qwen_image_2.1_turbo_bf16", F.QWEN_IMAGE_21_TURBO, (8, 1), (8, 1), EULER, 1024),
    ("flux1-dev", F.FLUX_DEV, (20, 1), (20, 1), EULER, 1024),
    ("flux1-krea-dev_fp8_scaled", F.FLUX_DEV, (20, 1), (20, 1), EULER, 1024),
    ("flux1-schnell", F.FLUX_SCHNELL, (4, 1), (4, 1), EULER, 1024),
    ("flux1-dev-kontext_fp8_scaled", F.FLUX_KONTEXT, (20, 1), (20, 1), EULER, 1024),
    ("flux2_dev_fp8mixed", F.FLUX2_DEV, (20, 1), (28, 1), EULER, 1024),
    ("flux-2-klein-4b-fp8", F.FLUX2_KLEIN, (4, 1), (4, 1), EULER, 1024),
    ("flux-2-klein-9b", F.FLUX2_KLEIN, (4, 1), (4, 1), EULER, 1024),
    ("flux-2-klein-base-9b-fp8", F.FLUX2_KLEIN_BASE, (20, 5), (28, 5), EULER, 1024),
    ("flux3-klein", F.FLUX3_KLEIN, (25, 3.5), (25, 3.5), EULER, 1024),
    ("flux3-klein-distilled", F.FLUX3_KLEIN_DISTILLED, (15, 1), (15, 1), ("er_sde", "simple"), 1024),
    ("Chroma1-HD-fp8mixed", F.CHROMA, (26, 3.5), (26, 4), ("euler", "beta"), 1024),
    ("anima-base-v1.0", F.ANIMA, (30, 4), (35, 4.5), EULER, 1024),
    ("sd3.5_large_fp8_scaled", F.SD35_LARGE, (20, 4), None, ("euler", "sgm_uniform"), 1024),
    ("sd3.5_large_turbo", F.SD35_LARGE_TURBO, (4, 1), (4, 1), ("euler", "sgm_uniform"), 1024),
    ("hidream_i1_dev_fp8", F.HIDREAM_DEV, (28, 1), (28, 1), ("lcm", "normal"), 1024),
    ("hidream_i1_full_fp8", F.HIDREAM_FULL, (50, 5), (50, 5), ("uni_pc", "simple"), 1024),
    ("hidream_o1_image_bf16", F.HIDREAM_O1, (40, 5), (40, 5), ("dpmpp_2m_sde", "normal"), 2048),
    ("ernie-image", F.ERNIE_IMAGE, (20, 4), (50, 4), EULER, 1024),
    ("ernie-image-turbo", F.ERNIE_IMAGE_TURBO, (8, 1), (8, 1), EULER, 1024),
    ("NetaYume_lumina_v35", F.LUMINA2, (30, 4), (30, 4), RES, 1024),
    ("moss_image_v1", F.MOSS_IMAGE, (25, 2.5), (25, 2.5), ("er_sde", "simple"), 1024),
    ("mage_flow_int8_convrot", F.MAGE_FLOW, (30, 5), (30, 5), EULER, 1024),
    ("ideogram4_fp8_scaled", F.IDEOGRAM4, (20, 7), (48, 7), EULER, 1024),
    ("wan2.2_t2v_high_noise_14B_fp8_scaled", F.WAN, (40, 4), (40, 4), ("uni_pc", "simple"), 1024),
    ("wan2.2_ti2v_5B_fp16", F.WAN_5B, (30, 5), (30, 5), ("uni_pc", "simple"), 1024),
    ("hidream_i1_fast_fp8", F.HIDREAM_FAST, (16, 1), (16, 1), ("lcm", "normal"), 1024),
    ("sd3_medium", F.SD3, (28, 4.5), (28, 4.5), ("dpmpp_2m", "sgm_uniform"), 1024),
    ("sd3.5_medium", F.SD35_MEDIUM, (40, 4.5), (40, 4.5), ("dpmpp_2m", "sgm_uniform"), 1024),
    ("v1-5-pruned-emaonly", F.SD15, (20, 7), (30, 7), KARRAS, 512),
    ("v2-1_768-ema-pruned", F.SD2, (20, 7), (30, 7), KARRAS, 768),
    ("sd_xl_base_1.0", F.SDXL, (20, 7), None, KARRAS, 1024),
    ("ponyDiffusionV6XL", F.PONY, (25, 7), (28, 7), ANCESTRAL, 1024),
    ("Illustrious-XL-v1.0", F.ILLUSTRIOUS, (24, 5), (28, 5.5), ANCESTRAL, 1024),
    ("noobaiXLNAIXL_epsilonPred11", F.NOOBAI, (25, 5), (30, 5.5), ANCESTRAL, 1024),
    ("noobaiXLNAIXL_vPred10", F.NOOBAI_VPRED, (26, 5), (35, 5), ("euler", "normal"), 1024),
    ("animagine-xl-4.0", F.ANIMAGINE, (28, 5), (28, 5), ANCESTRAL, 1024),
    ("sd_xl_turbo_1.0_fp16", F.TURBO, (1, 1), (1, 1), ("euler_ancestral", "sgm_uniform"), 512),
    ("sdxl_lightning_8step", F.LIGHTNING, (8, 1), (8, 1), ("euler", "sgm_uniform"), 1024),
    ("Hyper-SDXL-1step-unet", F.HYPER, (1, 1), (1, 1), ("euler", "sgm_uniform"), 1024),
    ("LCM_Dreamshaper_XL", F.LCM, (6, 1), (6, 1), ("lcm", "sgm_uniform"), 1024),
    ("dmd2_sdxl_4step_unet_fp16", F.DMD2, (4, 1), (4, 1), ("lcm", "sgm_uniform"), 1024),
]
SPEEDS = {F.SDXL: (10, 7), F.SD15: (10, 7), F.SD2: (16, 7), F.NOOBAI_VPRED: (18, 5), F.PONY: (16, 7)} | dict.fromkeys(
    (F.ILLUSTRIOUS, F.NOOBAI, F.ANIMAGINE), (16, 5)
)
"""Steps and cfg at SPEED, of the families for which they are others than at BALANCED."""


DISTILLED_FAMILIES = [family for family in F if find_profile(family).fixed]


@pytest.mark.parametrize("family", DISTILLED_FAMILIES)
def test_settings_of_distilled_are_alike_at_all_priorities_and_in_any_budget(family: F) -> None:
    model, found = ModelEvidence(family=family), set()
    for priority, seconds in itertools.product(Priority, (None, 0.5, 60)):
        limits = GenerationConstraints(seconds, priority=priority)
        chosen = choose(limits, model=model, aspect="square")
        found.add((chosen.num_steps, chosen.guidance_scale, chosen.sampler_name, chosen.scheduler))
    ((steps, cfg, *_),) = found
    assert (steps <= 28, cfg) == (True, 1)


def settings(name: str, priority: Priority = Priority.BALANCED, **more: object) -> OptimizedParameters:
    model = ModelEvidence(name=f"{name}.safetensors", **more)  # type: ignore[arg-type]
    return choose(model=model, constraints=GenerationConstraints(priority=priority), aspect="square")


@pytest.mark.parametrize(("name", "family", "balanced", "quality", "sampling", "side"), SETTINGS)
def test_settings_of_family(
    name: str,
    family: F,
    balanced: tuple[int, float],
    quality: tuple[int, float] | None,
    sampling: tuple[str, str],
    side: int,
) -> None:
    found = settings(name)
    assert found.family is family
    assert (found.num_steps, found.guidance_scale) == balanced
    assert (found.sampler_name, found.scheduler) == sampling
    assert (found.width, found.height) == (side, side)
    if quality is not None:
        best = settings(name, Priority.QUALITY)
        assert (best.num_steps, best.guidance_scale) == quality
    fast = settings(name, Priority.SPEED)
    assert (fast.num_steps, fast.guidance_scale) == SPEEDS.get(family, balanced)


def test_settings_of_all_families_are_listed_here() -> None:
    assert {family for _, family, *_ in SETTINGS} == {*F} - {F.UNKNOWN, F.DEMO, *SPEED_LORA_FAMILIES}


def test_settings_of_sd35_large_at_quality() -> None:
    best = settings("sd3.5_large", Priority.QUALITY)
    assert (best.num_steps, best.guidance_scale, best.sampler_name, best.scheduler) == (
        24,
        5,
        "dpmpp_2m",
        "sgm_uniform",
    )


CARRIED = [
    ("flux1-dev", 3.5, None, None, LatentKind(16)),
    ("flux1-dev-kontext", 2.5, None, None, LatentKind(16)),
    ("flux1-schnell", None, None, None, LatentKind(16)),
    ("flux2_dev", 4, None, "flux2", LatentKind(128, 16)),
    ("flux-2-klein-4b", None, None, "flux2", LatentKind(128, 16)),
    ("Chroma1-HD", None, 1, None, LatentKind(16)),
    ("qwen_image", None, 3.1, None, LatentKind(16, 8, True)),
    ("z_image_turbo", None, 3, None, LatentKind(16)),
    ("NetaYume_lumina", None, 4, None, LatentKind(16)),
    ("hidream_i1_dev", None, 6, None, LatentKind(16)),
    ("sd3.5_large", None, 3, None, LatentKind(16)),
    ("wan2.2_ti2v_5B", None, 8, None, LatentKind(48, 16, True)),
    ("qwen_image_2.1_turbo", None, None, "qwen_image_2_1_turbo", None),
    ("sd_xl_base_1.0", None, None, None, LatentKind(4)),
]


@pytest.mark.parametrize(("name", "guidance", "shift", "schedule", "latent"), CARRIED)
def test_settings_carry_guidance_shift_and_latent(
    name: str, guidance: float | None, shift: float | None, schedule: str | None, latent: LatentKind | None
) -> None:
    found = settings(name)
    assert (found.guidance, found.shift, found.schedule, found.latent) == (guidance, shift, schedule, latent)
    assert (found.sigmas is None) == (schedule is None)


def test_settings_of_qwen_21_turbo_have_its_sigmas() -> None:
    found = settings("qwen_image_2.1_turbo")
    assert found.sigmas == (*FIXED_TABLES["qwen_image_2_1_turbo"], 0.0)
    assert found.sigmas[:2] == (1.0, 0.978453)


@pytest.mark.parametrize(("steps", "side", "first", "last"), [(4, 1024, 0.9673, 0.7672), (20, 1024, 0.9944, 0.3223)])
def test_explicit_sigmas_of_flux2(steps: int, side: int, first: float, last: float) -> None:
    sigmas = explicit_sigmas("flux2", steps, side, side)
    assert (len(sigmas), sigmas[0], sigmas[-1]) == (steps + 1, 1.0, 0.0)
    assert (sigmas[1], sigmas[-2]) == (pytest.approx(first, abs=2e-3), pytest.approx(last, abs=2e-3))


@pytest.mark.parametrize("seconds", [0.5, 5, 60])
@pytest.mark.parametrize(
    "name", ["z_image_turbo", "krea2_turbo", "flux-2-klein-4b", "flux1-schnell", "ernie-image-turbo"]
)
def test_settings_of_distilled_keep_steps_and_cfg_in_any_budget(name: str, seconds: float) -> None:
    free = settings(name)
    held = choose(model=ModelEvidence(name=f"{name}.safetensors"), constraints=GenerationConstraints(seconds))
    assert (held.num_steps, held.guidance_scale, held.sigmas is None) == (
        free.num_steps,
        1,
        free.sigmas is None,
    )


def test_settings_of_flow_models_get_no_guidance_cutoff_and_no_align_your_steps() -> None:
    held = choose(model=ModelEvidence(name="z_image_bf16.safetensors"), constraints=GenerationConstraints(1))
    assert (held.improvements.cfg_cutoff_sigma, held.sigmas, held.guidance_scale) == (0, None, 4)
    assert held.num_steps < 25


GUESSES = [
    (A.Z_IMAGE, F.Z_IMAGE_TURBO, 1),
    (A.KREA2, F.KREA2_TURBO, 1),
    (A.FLUX2_KLEIN_4B, F.FLUX2_KLEIN, 1),
    (A.ERNIE_IMAGE, F.ERNIE_IMAGE_TURBO, 1),
    (A.HIDREAM, F.HIDREAM_DEV, 1),
]


@pytest.mark.parametrize(("architecture", "family", "cfg"), GUESSES)
def test_settings_of_an_unnamed_edition_are_the_cautious_twins(architecture: A, family: F, cfg: float) -> None:
    found = settings("my_merge_v3", architecture=architecture)
    assert (found.family, found.guidance_scale, found.confidence) == (family, cfg, 0.5)
    assert "a guess" in reason(found, "family").evidence


@pytest.mark.parametrize(("architecture", "family"), [(A.Z_IMAGE, F.Z_IMAGE), (A.KREA2, F.KREA2_RAW)])
def test_settings_follow_the_users_word(architecture: A, family: F) -> None:
    assert settings("my_merge", architecture=architecture, family=family).guidance_scale > 1


UNKNOWN = [
    ({"embedded_guidance": True, "prediction": "flow"}, (20, 1, 3.5, "simple")),
    ({"embedded_guidance": False, "prediction": "flow"}, (25, 4, None, "simple")),
    ({}, (24, 6, None, "normal")),
]


@pytest.mark.parametrize(("more", "expected"), UNKNOWN)
def test_settings_of_an_unknown_model(more: dict[str, object], expected: tuple[object, ...]) -> None:
    carried = LatentKind(32, 16)
    found = settings("strange", model_class="Tomorrow", shift=2.5, latent=carried, **more)
    assert (found.num_steps, found.guidance_scale, found.guidance, found.scheduler) == expected
    assert (found.family, found.confidence, found.latent) == (F.UNKNOWN, 0, carried)
    assert reason(found, "shift").value == 2.5
    assert "Tomorrow" in reason(found, "family").evidence


def test_settings_keep_a_shift_that_the_graph_has_set() -> None:
    found = settings("qwen_image", architecture=A.QWEN_IMAGE, shift=5.0, own_sampling=True, prediction="flow")
    assert found.shift is None
    assert reason(found, "shift").value == 5.0


SPEED_LORAS = [
    ("Qwen-Image-Lightning-8steps-V1.0", "qwen_image", 8, None),
    ("Qwen-Image-Lightning-4steps-V1.0", "qwen_image", 4, None),
    ("Qwen-Image-2512-Lightning-4steps-V1.0-fp32", "qwen_image_2512", 4, None),
    ("Wuli-Qwen-Image-2512-Turbo-LoRA-2steps-V1.0-bf16", "qwen_image_2512", 2, None),
    ("Flux_2-Turbo-LoRA_comfyui", "flux2_dev", 8, 4),
    ("anima-turbo-lora-v0.2", "anima-base-v1.0", 8, None),
    ("FLUX.1-Turbo-Alpha", "flux1-dev", 8, 3.5),
    ("wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise", "wan2.2_t2v_14B", 4, None),
]


@pytest.mark.parametrize(("lora", "model", "steps", "guidance"), SPEED_LORAS)
@pytest.mark.parametrize("priority", Priority)
def test_settings_with_a_speed_lora(
    lora: str, model: str, steps: int, guidance: float | None, priority: Priority
) -> None:
    found = settings(model, priority, loras=(f"{lora}.safetensors",))
    assert (found.num_steps, found.guidance_scale, found.guidance) == (steps, 1, guidance)
    assert lora in reason(found, "few-step LoRA").evidence
    chosen = Chosen(ModelMetadata(f"lora:{lora}", lora, lora_kind=LoRAKind.SPEED))
    again = choose(model=ModelEvidence(name=f"{model}.safetensors"), loras=[chosen])
    assert (again.num_steps, again.guidance_scale) == (steps, 1)


def test_settings_tell_that_the_negative_prompt_does_nothing_at_cfg_1() -> None:
    assert reason(settings("z_image_turbo"), "negative prompt").value is False
    assert not any(each.setting == "negative prompt" for each in settings("z_image_bf16").reasons)


def test_settings_of_transformers_have_no_clip_skip() -> None:
    assert reason(settings("flux1-dev"), "clip_skip").value is None
