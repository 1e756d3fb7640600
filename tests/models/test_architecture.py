from __future__ import annotations

import pytest

from intelligence.models.architecture import identify_architecture, is_lora
from intelligence.models.headers import Header
from intelligence.models.kinds import Architecture as A
from intelligence.models.kinds import ModelKind

KOHYA = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
KOHYA1 = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
PEFT = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2"

LORAS = [
    ({f"{KOHYA}.lora_down.weight": (4, 2048)}, A.SDXL),
    ({f"{KOHYA1}.lora_down.weight": (4, 768)}, A.SD1),
    ({f"{KOHYA1}.lora_down.weight": (4, 1024)}, A.SD2),
    ({f"{PEFT}.to_k.lora_A.weight": (4, 2048)}, A.SDXL),
    ({f"{PEFT}.to_k.lora_A.default.weight": (4, 2048)}, A.SDXL),
    ({f"{PEFT}.to_v.lora.down.weight": (4, 768)}, A.SD1),
    ({f"{PEFT}.processor.to_k_lora.down.weight": (4, 2048)}, A.SDXL),
    ({f"{KOHYA}.hada_w1_a": (640, 4), f"{KOHYA}.hada_w1_b": (4, 2048)}, A.SDXL),
    ({f"{KOHYA}.lokr_w1": (8, 16), f"{KOHYA}.lokr_w2": (80, 128)}, A.SDXL),
    ({f"{KOHYA}.lokr_w1": (8, 16), f"{KOHYA}.lokr_w2_a": (80, 4), f"{KOHYA}.lokr_w2_b": (4, 128)}, A.SDXL),
    ({f"{KOHYA}.diff": (640, 2048)}, A.SDXL),
    ({"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (4, 1280)}, A.SDXL),
    ({"lora_unet_output_blocks_1_1_proj_in.lora_down.weight": (4, 1280)}, A.SDXL),
    ({"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (4, 768)}, A.SD1),
    ({"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (4, 3072)}, A.FLUX),
    ({"transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight": (4, 3072)}, A.FLUX),
    ({"lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight": (4, 1536)}, A.SD3),
    ({"transformer_blocks.5.attn2.to_k.lora_A.weight": (4, 2048)}, A.LTX_VIDEO),
    ({"blocks.0.cross_attn.k.lora_A.weight": (4, 5120)}, A.WAN_14B),
]


@pytest.mark.parametrize("shapes, expected", LORAS, ids=[next(iter(shapes))[:60] for shapes, _ in LORAS])
def test_identify_architecture_of_loras(shapes: dict[str, tuple[int, ...]], expected: A) -> None:
    assert is_lora(shapes)
    assert identify_architecture(Header(shapes=shapes), ModelKind.LORA).value == expected


BLOCK = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"

CHECKPOINTS = [
    ({BLOCK: (640, 2048)}, A.SDXL),
    ({BLOCK: (320, 768)}, A.SD1),
    ({BLOCK: (320, 1024)}, A.SD2),
    ({BLOCK: (640, 1280)}, A.SDXL_REFINER),
    ({"conditioner.embedders.1.model.ln_final.weight": (1280,)}, A.SDXL),
    ({"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": (9216, 3072)}, A.FLUX),
    ({"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": (4608, 1536)}, A.SD3),
]


@pytest.mark.parametrize("shapes, expected", CHECKPOINTS)
def test_identify_architecture_of_checkpoints(shapes: dict[str, tuple[int, ...]], expected: A) -> None:
    assert not is_lora(shapes)
    assert identify_architecture(Header(shapes=shapes), ModelKind.CHECKPOINT).value == expected


@pytest.mark.parametrize(
    "entry, value, expected",
    [
        ("modelspec.architecture", "stable-diffusion-xl-v1-base/lora", A.SDXL),
        ("modelspec.architecture", "stable-diffusion-v1/lora", A.SD1),
        ("modelspec.architecture", "stable-diffusion-v2-768-v/lora", A.SD2),
        ("modelspec.architecture", "flux-1-dev/lora", A.FLUX),
        ("ss_base_model_version", "sdxl_base_v1-0", A.SDXL),
        ("ss_base_model_version", "sd_v1", A.SD1),
    ],
)
def test_identify_architecture_by_header(entry: str, value: str, expected: A) -> None:
    header = Header({entry: value}, {"odd.lora_down.weight": (4, 8)})
    found = identify_architecture(header, ModelKind.LORA)
    assert found.value == expected
    assert entry in found.source
