"""One table: a file as its trainer writes it → everything that is read from it, with the reason shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from intelligence.models import Architecture as A
from intelligence.models import Family as F
from intelligence.models import ModelKind
from intelligence.models.kinds import ARCHITECTURE_TITLES
from intelligence.registry import ModelRegistry

Shapes = dict[str, tuple[int, ...]]

XL = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
SD = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
PEFT = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
FULL = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"


def kohya(module: str, width: int, rank: int = 8) -> Shapes:
    return {f"{module}.alpha": (), f"{module}.lora_down.weight": (rank, width), f"{module}.lora_up.weight": (16, rank)}


def peft(module: str, width: int, rank: int = 8, adapter: str = "") -> Shapes:
    return {f"{module}.lora_A{adapter}.weight": (rank, width), f"{module}.lora_B{adapter}.weight": (16, rank)}


def trained(**entries: str) -> dict[str, str]:
    return {f"ss_{name}": value for name, value in entries.items()}


SDXL_TRAINED = trained(base_model_version="sdxl_base_v1-0", network_module="networks.lora", network_dim="8")


class Case(NamedTuple):
    """A file and what has to be found in it."""

    name: str
    shapes: Shapes
    architecture: A
    because: str
    """Part of the architecture's reason."""
    family: F
    since: str
    """Part of the family's reason."""
    lora_type: str | None = "lora"
    rank: int | None = 8
    metadata: Mapping[str, str] = MappingProxyType({})
    sidecar: dict[str, Any] | None = None
    kind: ModelKind = ModelKind.LORA


X, W = kohya(XL, 2048), "are SDXL's"
SD1, SD2, FLUX = "are SD 1.5's", "are SD 2's", "are Flux.1's"

TRAINERS = [
    Case("kohya_sdxl", X, A.SDXL, W, F.SDXL, "architecture sdxl"),
    Case("kohya_sd1", kohya(SD, 768), A.SD1, SD1, F.SD15, "architecture sd1"),
    Case("kohya_sd2", kohya(SD, 1024), A.SD2, SD2, F.SD2, "architecture sd2"),
    Case("kohya_refiner", kohya(XL, 1280), A.SDXL_REFINER, "are SDXL Refiner's", F.UNKNOWN, "no evidence"),
    Case("kohya_diffusers_keys", kohya(SD, 2048), A.SDXL, W, F.SDXL, "architecture sdxl"),
    Case("kohya_te1", kohya("lora_te1_text_model_encoder_layers_0_mlp_fc1", 768), A.SDXL, "te1", F.SDXL, "sdxl"),
    Case("kohya_te2", kohya("lora_te2_text_model_encoder_layers_0_mlp_fc1", 1280), A.SDXL, "te2", F.SDXL, "sdxl"),
    Case("kohya_te", kohya("lora_te_text_model_encoder_layers_0_mlp_fc1", 768), A.SD1, "te_text", F.SD15, "sd1"),
    Case("kohya_no_attn2", kohya("lora_unet_output_blocks_1_1_proj_in", 1280), A.SDXL, W, F.SDXL, "sdxl"),
    Case("kohya_flux", kohya("lora_unet_double_blocks_0_img_attn_qkv", 3072), A.FLUX, FLUX, F.FLUX_DEV, "flux"),
    Case("kohya_flux_single", kohya("lora_unet_single_blocks_9_linear1", 3072), A.FLUX, FLUX, F.FLUX_DEV, "flux"),
    Case(
        "kohya_sd3",
        kohya("lora_unet_joint_blocks_0_x_block_attn_qkv", 1536),
        A.SD3,
        "are SD 3 Medium's",
        F.SD3,
        "architecture sd3",
    ),
    Case("peft_sdxl", peft(PEFT, 2048), A.SDXL, W, F.SDXL, "architecture sdxl"),
    Case("peft_sdxl_adapter", peft(PEFT, 2048, 4, ".default"), A.SDXL, W, F.SDXL, "architecture", rank=4),
    Case("peft_sd1", peft(PEFT, 768), A.SD1, SD1, F.SD15, "architecture sd1"),
    Case("diffusers_dots", {f"{PEFT}.lora.down.weight": (8, 768)}, A.SD1, SD1, F.SD15, "architecture sd1"),
    Case(
        "diffusers_processor",
        {PEFT.replace("to_k", "processor.to_k_lora.down.weight"): (8, 2048)},
        A.SDXL,
        W,
        F.SDXL,
        "architecture sdxl",
    ),
    Case(
        "diffusers_flux",
        peft("transformer.single_transformer_blocks.0.attn.to_k", 3072),
        A.FLUX,
        FLUX,
        F.FLUX_DEV,
        "architecture flux",
    ),
    Case(
        "aitoolkit_flux",
        peft("transformer.single_transformer_blocks.3.proj_out", 3072, 16),
        A.FLUX,
        "ss_base_model_version: flux1",
        F.FLUX_DEV,
        "architecture flux",
        rank=16,
        metadata={"software": '{"name": "ai-toolkit"}', "ss_base_model_version": "flux1"},
    ),
    Case(
        "aitoolkit_sdxl",
        kohya(SD, 2048, 16),
        A.SDXL,
        W,
        F.SDXL,
        "architecture sdxl",
        rank=16,
        metadata={"software": '{"name": "ai-toolkit"}', "ss_base_model_version": "sdxl_1.0"},
    ),
    Case(
        "onetrainer_omi",
        peft("unet.input_blocks.4.1.transformer_blocks.0.attn2.to_k", 2048),
        A.SDXL,
        W,
        F.SDXL,
        "architecture sdxl",
        metadata={"ot_branch": "omi_format", "modelspec.architecture": "stable-diffusion-xl-v1-base/lora"},
    ),
    Case(
        "onetrainer_legacy",
        kohya(SD, 2048),
        A.SDXL,
        W,
        F.SDXL,
        "architecture sdxl",
        metadata={"modelspec.architecture": "stable-diffusion-xl-v1-base/lora", "ot_revision": "1"},
    ),
    Case("wan_video", peft("blocks.0.cross_attn.k", 5120), A.WAN_14B, "are Wan 14B's", F.WAN, "wan_14b"),
    Case(
        "ltx_video",
        peft("transformer_blocks.5.attn2.to_k", 2048),
        A.LTX_VIDEO,
        "are LTX-Video's",
        F.UNKNOWN,
        "no evidence",
    ),
    Case("strange_width", kohya(XL, 999), A.UNKNOWN, "the names of SDXL's and other sizes", F.UNKNOWN, "no evidence"),
    Case(
        "declared_flux",
        kohya("lora_odd_module", 64),
        A.FLUX,
        "modelspec.architecture: flux-1-dev/lora",
        F.FLUX_DEV,
        "architecture flux",
        metadata={"modelspec.architecture": "flux-1-dev/lora"},
    ),
    Case(
        "declared_sd1",
        kohya("lora_odd_module", 64),
        A.SD1,
        "ss_base_model_version: sd_v1",
        F.SD15,
        "architecture sd1",
        metadata=trained(base_model_version="sd_v1"),
    ),
    Case(
        "declared_sd2",
        kohya("lora_odd_module", 64),
        A.SD2,
        "stable-diffusion-v2-768-v/lora",
        F.SD2,
        "architecture sd2",
        metadata={"modelspec.architecture": "stable-diffusion-v2-768-v/lora"},
    ),
    Case(
        "declared_sd3",
        kohya("lora_odd_module", 64),
        A.SD3,
        "stable-diffusion-3-medium/lora",
        F.SD3,
        "architecture sd3",
        metadata={"modelspec.architecture": "stable-diffusion-3-medium/lora"},
    ),
]

TYPES = [
    Case("locon", {**X, "lora_unet_a.lora_down.weight": (8, 4, 3, 3)}, A.SDXL, W, F.SDXL, "sdxl", "locon"),
    Case(
        "loha",
        {f"{XL}.hada_w1_a": (64, 4), f"{XL}.hada_w1_b": (4, 2048), f"{XL}.hada_w2_a": (64, 4)},
        A.SDXL,
        W,
        F.SDXL,
        "sdxl",
        "loha",
        4,
    ),
    Case("lokr", {f"{XL}.lokr_w1": (8, 16), f"{XL}.lokr_w2": (80, 128)}, A.SDXL, W, F.SDXL, "sdxl", "lokr", None),
    Case(
        "lokr_split",
        {f"{XL}.lokr_w1": (8, 16), f"{XL}.lokr_w2_a": (80, 4), f"{XL}.lokr_w2_b": (4, 128)},
        A.SDXL,
        W,
        F.SDXL,
        "sdxl",
        "lokr",
        4,
    ),
    Case(
        "lokr_sd1",
        {f"{SD}.lokr_w1": (8, 8), f"{SD}.lokr_w2": (40, 96)},
        A.SD1,
        SD1,
        F.SD15,
        "sd1",
        "lokr",
        None,
    ),
    Case("dora", {**X, f"{XL}.dora_scale": (16, 1)}, A.SDXL, W, F.SDXL, "sdxl", "dora"),
    Case("dora_sd1", {**kohya(SD, 768), f"{SD}.dora_scale": (16, 1)}, A.SD1, SD1, F.SD15, "sd1", "dora"),
    Case("full_difference", {f"{XL}.diff": (16, 2048)}, A.SDXL, W, F.SDXL, "sdxl", "lora", None),
    Case("rank_128", kohya(XL, 2048, 128), A.SDXL, W, F.SDXL, "sdxl", rank=128),
]


def on(checkpoint: str) -> dict[str, str]:
    return {**SDXL_TRAINED, "ss_sd_model_name": checkpoint}


def base(name: str) -> dict[str, Any]:
    return {"id": 1, "modelId": 2, "baseModel": name}


FAMILIES = [
    Case(
        "a1", X, A.SDXL, W, F.PONY, "ss_sd_model_name: ponyDiffusionV6XL", metadata=on("ponyDiffusionV6XL.safetensors")
    ),
    Case("a2", X, A.SDXL, W, F.ILLUSTRIOUS, "ss_sd_model_name", metadata=on("Illustrious-XL-v0.1.safetensors")),
    Case("a3", X, A.SDXL, W, F.NOOBAI, "ss_sd_model_name", metadata=on("noobaiXLNAIXL_epsilonPred11.safetensors")),
    Case("a4", X, A.SDXL, W, F.NOOBAI_VPRED, "ss_sd_model_name", metadata=on("noobaiXLNAIXL_vPred10.safetensors")),
    Case("a5", X, A.SDXL, W, F.SDXL, "ss_sd_model_name", metadata=on("sd_xl_base_1.0.safetensors")),
    Case("b1", X, A.SDXL, W, F.PONY, "civitai (.civitai.info): Pony", sidecar=base("Pony")),
    Case("b2", X, A.SDXL, W, F.ILLUSTRIOUS, ": Illustrious", sidecar=base("Illustrious")),
    Case("b3", X, A.SDXL, W, F.NOOBAI, ": NoobAI", sidecar=base("NoobAI")),
    Case("b4", X, A.SDXL, W, F.SDXL, ": SDXL 1.0", sidecar=base("SDXL 1.0")),
    Case("b5", kohya(SD, 768), A.SD1, SD1, F.SD15, ": SD 1.5", sidecar=base("SD 1.5")),
    Case("b6", kohya(SD, 1024), A.SD2, SD2, F.SD2, ": SD 2.1", sidecar=base("SD 2.1")),
    Case("b7_hub_before_training", X, A.SDXL, W, F.PONY, ": Pony", metadata=on("illustrious"), sidecar=base("Pony")),
    Case("b8_shapes_before_hub", kohya(SD, 768), A.SD1, SD1, F.SD15, "architecture sd1", sidecar=base("Pony")),
    Case(
        "c1_tag",
        X,
        A.SDXL,
        W,
        F.PONY,
        "tag score_9",
        metadata=trained(tag_frequency='{"10_x": {"score_9": 9, "tree": 3}}'),
    ),
    Case("ponyXL_hat", X, A.SDXL, W, F.PONY, "file name ponyXL_hat"),
    Case("hat_illustrious", X, A.SDXL, W, F.ILLUSTRIOUS, "file name hat_illustrious"),
    Case("noob_hat", X, A.SDXL, W, F.NOOBAI, "file name noob_hat"),
    Case("noobai_vpred_hat", X, A.SDXL, W, F.NOOBAI_VPRED, "file name"),
    Case("pony_hat", kohya(SD, 768), A.SD1, SD1, F.SD15, "architecture sd1"),
    Case("lightning_storm", X, A.SDXL, W, F.SDXL, "architecture sdxl"),
    Case("sdxl_lightning_4step_lora", X, A.SDXL, W, F.LIGHTNING, "file name sdxl_lightning_4step_lora"),
    Case("Hyper-SDXL-8steps-lora", X, A.SDXL, W, F.HYPER, "file name"),
    Case("lcm-lora-sdxl", X, A.SDXL, W, F.LCM, "file name lcm-lora-sdxl"),
    Case("lcm-lora-sdv1-5", kohya(SD, 768), A.SD1, SD1, F.LCM, "file name"),
    Case("dmd2_sdxl_4step_lora", X, A.SDXL, W, F.DMD2, "file name"),
    Case("sdxl_turbo_lora", X, A.SDXL, W, F.TURBO, "file name"),
]


def checkpoint(name: str, width: int, architecture: A, family: F, since: str, **more: Any) -> Case:
    shapes, because = {FULL: (16, width), **more.pop("extra", {})}, f"are {ARCHITECTURE_TITLES[architecture]}'s"
    return Case(name, shapes, architecture, because, family, since, None, None, kind=ModelKind.CHECKPOINT, **more)


CHECKPOINTS = [
    checkpoint("sd_xl_base_1.0", 2048, A.SDXL, F.SDXL, "its name, 'sd_xl_base_1.0', names SDXL"),
    checkpoint("merge", 2048, A.SDXL, F.SDXL, "shaped like SDXL's"),
    checkpoint("ponyDiffusionV6XL", 2048, A.SDXL, F.PONY, "names Pony"),
    checkpoint("waiNSFWIllustrious_v110", 2048, A.SDXL, F.ILLUSTRIOUS, "names Illustrious"),
    checkpoint("noobaiXLNAIXL_epsilonPred11", 2048, A.SDXL, F.NOOBAI, "names NoobAI"),
    checkpoint("noobai_v", 2048, A.SDXL, F.NOOBAI_VPRED, "it predicts v", extra={"v_pred": (0,)}),
    checkpoint(
        "a_merge",
        2048,
        A.SDXL,
        F.NOOBAI,
        "the title in its header, 'NoobAI XL'",
        metadata={"modelspec.title": "NoobAI XL"},
    ),
    checkpoint("sd_xl_turbo_1.0_fp16", 2048, A.SDXL, F.TURBO, "names Turbo"),
    checkpoint("sdxl_lightning_8step", 2048, A.SDXL, F.LIGHTNING, "names Lightning"),
    checkpoint("Hyper-SDXL-1step", 2048, A.SDXL, F.HYPER, "names Hyper-SD"),
    checkpoint("LCM_SDXL", 2048, A.SDXL, F.LCM, "names LCM"),
    checkpoint("dmd2_sdxl", 2048, A.SDXL, F.DMD2, "names DMD2"),
    checkpoint("pony_lightning_8step", 2048, A.SDXL, F.LIGHTNING, "names Lightning"),
    checkpoint("anything", 2048, A.SDXL, F.PONY, "its base model, 'Pony', names Pony", sidecar=base("Pony")),
    checkpoint("v1-5-pruned-emaonly", 768, A.SD1, F.SD15, "names SD 1.5"),
    checkpoint("pony_mix_15", 768, A.SD1, F.SD15, "shaped like SD 1.5's"),
    checkpoint("v2-1_768-ema-pruned", 1024, A.SD2, F.SD2, "names SD 2"),
    checkpoint("sd_turbo", 1024, A.SD2, F.TURBO, "names Turbo"),
    Case(
        "flux1-dev",
        {"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": (9216, 3072)},
        A.FLUX,
        FLUX,
        F.FLUX_DEV,
        "names Flux.1 dev",
        None,
        None,
        kind=ModelKind.CHECKPOINT,
    ),
    Case(
        "sd3_medium",
        {"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": (4608, 1536)},
        A.SD3,
        "are SD 3 Medium's",
        F.SD3,
        "names SD 3 Medium",
        None,
        None,
        kind=ModelKind.CHECKPOINT,
    ),
    Case(
        "wan2.1_t2v",
        {"model.diffusion_model.blocks.0.cross_attn.k.weight": (5120, 5120)},
        A.WAN_14B,
        "are Wan 14B's",
        F.WAN,
        "names Wan",
        None,
        None,
        kind=ModelKind.CHECKPOINT,
    ),
]

CASES = [*((case, "hat") for case in (*TRAINERS, *TYPES)), *((case, case.name) for case in (*FAMILIES, *CHECKPOINTS))]
"""Case and file name."""


@pytest.mark.parametrize("case, name", CASES, ids=[case.name for case, _ in CASES])
def test_scan_identifies(
    registry: ModelRegistry, model: Callable[..., Path], tmp_path: Path, case: Case, name: str
) -> None:
    path = model(tmp_path / "models" / f"{name}.safetensors", case.shapes, case.metadata)
    if case.sidecar:
        path.with_suffix(".civitai.info").write_text(json.dumps(case.sidecar))
    assert registry.scan({case.kind: [path.parent]}).problems == {}
    found = registry.get_model(name)
    architecture, family = found.findings["architecture"], found.findings["family"]
    assert (found.architecture, found.family) == (case.architecture, case.family), found.findings
    assert (found.lora_type, found.rank) == (case.lora_type, case.rank)
    assert case.because in architecture.source
    assert case.since in family.source
    assert (architecture.value, family.value) == (found.architecture, found.family)
    assert (architecture.confidence > 0) == (found.architecture is not A.UNKNOWN)
    assert (family.confidence > 0) == (found.family is not F.UNKNOWN)
