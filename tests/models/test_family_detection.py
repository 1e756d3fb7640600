from __future__ import annotations

import pytest

from intelligence.models import Architecture as A
from intelligence.models import Family as F
from intelligence.models import Finding, ModelEvidence, identify_family
from intelligence.models.evidence import prediction_in
from intelligence.models.family_detection import identify_lora_family

NAMES = [
    ("sd_xl_base_1.0.safetensors", F.SDXL, A.SDXL, None),
    ("stabilityai/stable-diffusion-xl-base-1.0", F.SDXL, A.SDXL, None),
    ("juggernautXL_v9Rundiffusionphoto2.safetensors", F.SDXL, A.SDXL, None),
    ("ponyDiffusionV6XL_v6StartWithThisOne.safetensors", F.PONY, A.SDXL, None),
    ("checkpoints\\waiNSFWIllustrious_v110.safetensors", F.ILLUSTRIOUS, A.SDXL, None),
    ("noobaiXLNAIXL_epsilonPred11Version.safetensors", F.NOOBAI, A.SDXL, None),
    ("noobaiXLNAIXL_vPred10Version.safetensors", F.NOOBAI_VPRED, A.SDXL, None),
    ("NoobAI-XL-v-pred-1.0.safetensors", F.NOOBAI_VPRED, A.SDXL, None),
    ("sdxl_lightning_4step.safetensors", F.LIGHTNING, A.SDXL, 4),
    ("Hyper-SDXL-8steps.safetensors", F.HYPER, A.SDXL, 8),
    ("sd_xl_turbo_1.0_fp16.safetensors", F.TURBO, A.SDXL, None),
    ("dreamshaperXL_v21TurboDPMSDE.safetensors", F.TURBO, A.SDXL, None),
    ("sd_turbo.safetensors", F.TURBO, A.SD2, None),
    ("dreamshaperXL_lightningDPMSDE.safetensors", F.LIGHTNING, A.SDXL, None),
    ("wildcardxXLLIGHTNING_wildcardxXL.safetensors", F.LIGHTNING, A.SDXL, None),
    ("realvisxlV50_v50LightningBakedvae.safetensors", F.LIGHTNING, A.SDXL, None),
    ("sdxl_lightning_200steps.safetensors", F.LIGHTNING, A.SDXL, None),
    ("Hyper-SDXL-8steps-CFG-lora.safetensors", F.HYPER, A.SDXL, 8),
    ("epicrealismXL_vxviLastfameDMD2.safetensors", F.DMD2, A.SDXL, None),
    ("dmd2_sdxl_4step.safetensors", F.DMD2, A.SDXL, 4),
    ("LCM_SDXL.safetensors", F.LCM, A.SDXL, None),
    ("hyperrealism_xl.safetensors", F.SDXL, A.SDXL, None),
    ("v1-5-pruned-emaonly.safetensors", F.SD15, A.SD1, None),
    ("v2-1_768-ema-pruned.safetensors", F.SD2, A.SD2, None),
    ("autismmixSDXL_autismmixPony.safetensors", F.PONY, A.SDXL, None),
    ("cyberrealisticPony_v85.safetensors", F.PONY, A.SDXL, None),
    ("novaAnimeXL_ilV100.safetensors", F.ILLUSTRIOUS, A.SDXL, None),
    ("obsessionIllustrious_vPredV11.safetensors", F.ILLUSTRIOUS, A.SDXL, None),
    ("animagineXL40_v4Opt.safetensors", F.ANIMAGINE, A.SDXL, None),
    ("realvisxlV50_v50Bakedvae.safetensors", F.SDXL, A.SDXL, None),
    ("sd_xl_refiner_1.0.safetensors", F.UNKNOWN, A.SDXL_REFINER, None),
    ("playground-v2.5-1024px-aesthetic.fp16.safetensors", F.UNKNOWN, A.PLAYGROUND, None),
    ("sd3.5_large_turbo.safetensors", F.SD35_LARGE_TURBO, A.SD35_LARGE, None),
    ("flux1-dev-hyper-8steps.safetensors", F.FLUX_DEV, A.FLUX, 8),
    ("qwen-image-lightning-8steps.safetensors", F.QWEN_IMAGE, A.QWEN_IMAGE, 8),
    ("z_image_turbo.safetensors", F.Z_IMAGE_TURBO, A.Z_IMAGE, None),
    ("flux1-dev.safetensors", F.FLUX_DEV, A.FLUX, None),
    ("pony-v7.safetensors", F.UNKNOWN, A.AURAFLOW, None),
    ("my merge.safetensors", F.UNKNOWN, A.UNKNOWN, None),
    ("", F.UNKNOWN, A.UNKNOWN, None),
]


@pytest.mark.parametrize("name, family, architecture, steps", NAMES)
def test_identify_family_by_name(name: str, family: F, architecture: A, steps: int | None) -> None:
    found = identify_family(ModelEvidence(name=name))
    assert (found.family, found.architecture, found.few_steps) == (family, architecture, steps)
    assert (found.confidence > 0) == (family is not F.UNKNOWN)
    assert found.reason


BASES = [
    ("SD 1.5", F.SD15, A.SD1),
    ("SD 1.5 LCM", F.LCM, A.SD1),
    ("SD 2.1", F.SD2, A.SD2),
    ("SDXL 1.0", F.SDXL, A.SDXL),
    ("SDXL Lightning", F.LIGHTNING, A.SDXL),
    ("SDXL Hyper", F.HYPER, A.SDXL),
    ("SDXL Turbo", F.TURBO, A.SDXL),
    ("SDXL 1.0 LCM", F.LCM, A.SDXL),
    ("SD 1.5 Hyper", F.HYPER, A.SD1),
    ("SD 2.1 768", F.SD2, A.SD2),
    ("Pony", F.PONY, A.SDXL),
    ("Illustrious", F.ILLUSTRIOUS, A.SDXL),
    ("NoobAI", F.NOOBAI, A.SDXL),
    ("SD 3.5", F.SD3, A.SD3),
    ("Flux.1 D", F.FLUX_DEV, A.FLUX),
    ("Wan Video 14B t2v", F.WAN, A.WAN_14B),
]


@pytest.mark.parametrize("base, family, architecture", BASES)
def test_identify_family_by_base_model(base: str, family: F, architecture: A) -> None:
    found = identify_family(ModelEvidence(name="merge_v3.safetensors", base_model=base))
    assert (found.family, found.architecture) == (family, architecture)


def sdxl(**fields: object) -> ModelEvidence:
    return ModelEvidence(**{"name": "merge.safetensors", "architecture": A.SDXL, **fields})  # type: ignore[arg-type]


ZERO = {"prediction": "v_prediction", "sigma_max": 4518.8}

ORDER = [
    (sdxl(family=F.PONY, name="noobai_vpred.safetensors"), F.PONY, False),
    (sdxl(family=F.PONY, **ZERO), F.PONY, True),
    (sdxl(family=F.NOOBAI_VPRED), F.NOOBAI_VPRED, True),
    (sdxl(**ZERO), F.NOOBAI_VPRED, True),
    (sdxl(**ZERO, name="pony_vpred.safetensors"), F.PONY, True),
    (sdxl(**ZERO, name="noobaiXL.safetensors"), F.NOOBAI_VPRED, True),
    (sdxl(**ZERO, name="noobai_vpred_lightning_8steps.safetensors"), F.LIGHTNING, True),
    (sdxl(prediction="v_prediction", sigma_max=14.6, base_model="Pony"), F.NOOBAI_VPRED, False),
    (sdxl(prediction="epsilon", sigma_max=14.6, name="noobai_vpred.safetensors"), F.NOOBAI, False),
    (sdxl(prediction="epsilon", sigma_max=4518.8, name="pony.safetensors"), F.PONY, True),
    (sdxl(prediction="edm", sigma_max=80.0), F.UNKNOWN, False),
    (sdxl(prediction="edm", sigma_max=120.0, name="cosxl.safetensors"), F.UNKNOWN, False),
    (sdxl(name="noobai_vpred.safetensors"), F.NOOBAI_VPRED, True),
    (sdxl(metadata={"modelspec.prediction_type": "v"}), F.NOOBAI_VPRED, True),
    (sdxl(metadata={"modelspec.prediction_type": "v"}, prediction="epsilon", sigma_max=14.6), F.SDXL, False),
    (sdxl(metadata={"modelspec.title": "Illustrious XL"}, base_model="Pony"), F.ILLUSTRIOUS, False),
    (sdxl(metadata={"ss_sd_model_name": "ponyDiffusionV6XL.safetensors"}), F.PONY, False),
    (sdxl(metadata={"ss_base_model_version": "sdxl_base_v1-0"}, name="my_pony.safetensors"), F.PONY, False),
    (sdxl(base_model="Pony", name="illustrious.safetensors"), F.PONY, False),
    (sdxl(base_model="Pony", name="pony_lightning_8step.safetensors"), F.LIGHTNING, False),
    (sdxl(base_model="SDXL Hyper", name="ponyRealism.safetensors"), F.HYPER, False),
    (sdxl(architecture=A.SD1, name="pony_mix.safetensors"), F.SD15, False),
    (sdxl(architecture=A.SD2, prediction="v_prediction", sigma_max=14.6), F.SD2, False),
    (sdxl(architecture=A.UNKNOWN, metadata={"modelspec.architecture": "stable-diffusion-xl-v1-base"}), F.SDXL, False),
    (sdxl(architecture=A.FLUX, name="pony.safetensors"), F.FLUX_DEV, False),
    (sdxl(architecture=A.OTHER, name="lightning_4step.safetensors"), F.UNKNOWN, False),
    (sdxl(), F.SDXL, False),
]


@pytest.mark.parametrize("evidence, family, zsnr", ORDER)
def test_identify_family_order_of_evidence(evidence: ModelEvidence, family: F, zsnr: bool) -> None:
    found = identify_family(evidence)
    assert (found.family, found.zsnr) == (family, zsnr), found.reason


KEYS = [
    (("edm_mean", "edm_std"), {}, "edm"),
    (("edm_vpred.sigma_max",), {}, "edm"),
    (("v_pred", "ztsnr"), {}, "v_prediction"),
    (("model.diffusion_model.out.2.bias",), {"modelspec.prediction_type": "v"}, "v_prediction"),
    (("model.diffusion_model.out.2.bias",), {"modelspec.prediction_type": "epsilon"}, None),
]


@pytest.mark.parametrize("keys, metadata, prediction", KEYS)
def test_prediction_in(keys: tuple[str, ...], metadata: dict[str, str], prediction: str | None) -> None:
    assert prediction_in(dict.fromkeys(keys), metadata) == prediction


@pytest.mark.parametrize(
    "name, base, variant",
    [
        ("ponyRealism_lightning8steps.safetensors", F.PONY, ""),
        ("illustriousXL_dmd2.safetensors", F.ILLUSTRIOUS, ""),
        ("sd_xl_turbo_1.0.safetensors", F.SDXL, ""),
        ("dreamshaperXL_v21TurboDPMSDE.safetensors", F.SDXL, "merge"),
        ("Hyper-SDXL-12steps-CFG-lora.safetensors", F.SDXL, "guided"),
        ("Hyper-SDXL-8steps-lora.safetensors", F.SDXL, ""),
        ("ponyDiffusionV6XL.safetensors", F.UNKNOWN, ""),
    ],
)
def test_identify_family_base_and_variant_of_distilled(name: str, base: F, variant: str) -> None:
    found = identify_family(ModelEvidence(name=name))
    assert (found.base, found.variant) == (base, variant)


SENTENCES = [
    (sdxl(), "its weights are shaped like SDXL's, and nothing tells which fine-tune it is"),
    (sdxl(metadata={"modelspec.title": "Random SDXL"}), "the title in its header, 'Random SDXL', names SDXL"),
    (sdxl(**ZERO), "it predicts v, from noise level 4518.8 (zero terminal SNR), as NoobAI v-pred does"),
    (sdxl(name="noobai_vpred"), "'noobai_vpred' says v-prediction, which NoobAI v-pred is known for"),
    (
        sdxl(name="noobai_vpred", prediction="epsilon"),
        "its name, 'noobai_vpred', names NoobAI v-pred, but it predicts noise",
    ),
    (sdxl(family=F.PONY), "chosen by you"),
    (ModelEvidence(), "neither its name nor its file tells what it is"),
    (ModelEvidence(architecture=A.LTX2), "it is a LTX-2 model, for which no settings are known"),
]


@pytest.mark.parametrize("evidence, reason", SENTENCES)
def test_identify_family_reason(evidence: ModelEvidence, reason: str) -> None:
    assert identify_family(evidence).reason == reason


def test_identify_family_confidence() -> None:
    assert identify_family(sdxl(family=F.PONY)).confidence == 1
    assert identify_family(sdxl()).confidence < identify_family(sdxl(name="sdxl.safetensors")).confidence


HUB, COARSE = Finding("Pony", "civitai", 0.95), Finding("sdxl_base_v1-0", "ss_base_model_version", 0.3)

LORAS = [
    ("illustrious_girl", HUB, "sd_xl_base_1.0.safetensors", [], F.PONY),
    ("girl", COARSE, "ponyDiffusionV6XL.safetensors", [], F.PONY),
    ("illustrious_girl", COARSE, None, ["score_9"], F.PONY),
    ("illustrious_girl", COARSE, None, [], F.ILLUSTRIOUS),
    ("girl", COARSE, None, [], F.SDXL),
    ("lightning_storm", None, None, [], F.SDXL),
]


@pytest.mark.parametrize("name, base, trained_on, tags, family", LORAS)
def test_identify_lora_family(
    name: str, base: Finding | None, trained_on: str | None, tags: list[str], family: F
) -> None:
    assert identify_lora_family(name, A.SDXL, base, trained_on, tags).value == family


def test_identify_lora_family_distilled_only_for_speed_loras() -> None:
    assert identify_lora_family("sdxl_lightning_4step", A.SDXL, None, None, [], speed=True).value == F.LIGHTNING
    assert identify_lora_family("x", A.SD1, None, "ponyDiffusionV6XL", []).value == F.SD15
    assert identify_lora_family("x", A.FLUX, HUB, None, []).value == F.FLUX_DEV
