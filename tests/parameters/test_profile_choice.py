"""Family and profile, by model, LoRAs and prompt."""

from dataclasses import replace

import pytest

from intelligence.models import Family, LoRAKind, ModelEvidence, ModelMetadata
from intelligence.models.evidence import AppliedLoRA, ModelPatch
from tests.parameters.choices import MERGE, SDXL, Chosen, analysis, choose, reason


def test_choose_profile_few_step_lora_keeps_size():
    lora = ModelMetadata(
        "lora:sdxl_lightning_4step_lora", "sdxl_lightning_4step_lora", lora_kind=LoRAKind.SPEED, family=Family.LIGHTNING
    )
    parameters = choose(loras=[Chosen(lora)], model=ModelEvidence(name="ponyDiffusionV6XL.safetensors"))
    assert (parameters.num_steps, parameters.guidance_scale, parameters.family) == (4, 1.0, Family.LIGHTNING)
    assert (parameters.width, parameters.height) == (832, 1216)
    assert "sdxl_lightning_4step_lora" in reason(parameters, "few-step LoRA").evidence


def test_choose_profile_ignores_ordinary_lora():
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
        (analysis(), (), replace(MERGE, applied=(AppliedLoRA("hats", family=Family.PONY),)), Family.PONY),
        (analysis(quality_family="gibberish"), (), ModelEvidence(), Family.UNKNOWN),
    ],
)
def test_infer_from_loras_and_tags_finds_family_of_unnamed_model(prompt, loras, model, family):
    parameters = choose(prompt=prompt, model=model, loras=[Chosen(lora) for lora in loras])
    assert parameters.family is family
    assert parameters.confidence <= 0.45


def test_infer_from_loras_and_tags_leaves_named_model():
    assert choose(prompt=analysis(quality_family="pony")).family is Family.SDXL


SPEED_LORAS = [
    ("sdxl_lightning_4step_lora", Family.LIGHTNING, 4, 1.0, "euler"),
    ("sdxl_lightning_8step_lora", Family.LIGHTNING, 8, 1.0, "euler"),
    ("Hyper-SDXL-4steps-lora", Family.HYPER, 4, 1.0, "euler"),
    ("Hyper-SDXL-12steps-CFG-lora", Family.HYPER, 12, 5.0, "euler"),
    ("lcm-lora-sdxl", Family.LCM, 6, 1.0, "lcm"),
    ("dmd2_sdxl_4step_lora_fp16", Family.DMD2, 4, 1.0, "lcm"),
    ("sdxl_turbo_lora", Family.TURBO, 1, 1.0, "euler_ancestral"),
]


@pytest.mark.parametrize(("name", "family", "steps", "cfg", "sampler"), SPEED_LORAS)
@pytest.mark.parametrize("known", [True, False])
def test_choose_profile_speed_lora_decides_family(name, family, steps, cfg, sampler, known):
    lora = ModelMetadata(f"lora:{name}", name, lora_kind=LoRAKind.SPEED, family=family)
    pony = ModelEvidence(name="ponyDiffusionV6XL.safetensors")
    if known:
        parameters = choose(loras=[Chosen(lora)], model=pony)
    else:
        parameters = choose(model=replace(pony, loras=(f"{name}.safetensors",)))
    assert (parameters.family, parameters.num_steps, parameters.guidance_scale) == (family, steps, cfg)
    assert (parameters.sampler_name, parameters.width, parameters.height) == (sampler, 832, 1216)
    assert reason(parameters, "few-step LoRA").otherwise == "25 steps, cfg 7, euler_ancestral, as for Pony"


@pytest.mark.parametrize(
    ("model", "family", "steps", "cfg"),
    [
        (SDXL, Family.LIGHTNING, 4, 1.0),
        (ModelEvidence(name="z_image_bf16.safetensors"), Family.Z_IMAGE, 8, 1.0),
    ],
)
def test_choose_profile_sees_a_speed_lora_on_the_model_by_its_record(model, family, steps, cfg):
    applied = AppliedLoRA("mine.safetensors", "lora:mine", kind=LoRAKind.SPEED, family=Family.LIGHTNING)
    parameters = choose(model=replace(model, loras=("mine.safetensors",), applied=(applied,)))
    assert (parameters.family, parameters.num_steps, parameters.guidance_scale) == (family, steps, cfg)


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        (ModelPatch("model_sampling", "ModelSamplingDiscreteDistilled+LCM"), (Family.LCM, 6, 1.0, "lcm")),
        (ModelPatch("model_sampling", "ModelSamplingDiscrete+EPS"), (Family.SDXL, 20, 7.0, "dpmpp_2m")),
        (ModelPatch("attn1", "LCM"), (Family.SDXL, 20, 7.0, "dpmpp_2m")),
    ],
)
def test_choose_profile_sees_sampling_that_a_node_has_set(patch, expected):
    found = choose(model=replace(SDXL, patches=(patch,)))
    assert (found.family, found.num_steps, found.guidance_scale, found.sampler_name) == expected
    told = [item.setting for item in found.reasons if item.setting == "few-step sampling"]
    assert len(told) == (expected[0] is Family.LCM)


def test_choose_profile_ignores_ordinary_lora_upstream():
    assert choose(model=replace(SDXL, loras=("lightning_mage.safetensors",))) == choose()
