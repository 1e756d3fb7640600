from __future__ import annotations

import pytest

from intelligence.models.architecture import lora_rank, lora_type
from intelligence.models.headers import Header

KOHYA = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"


KOHYA1 = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"


PEFT = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2"


TYPES = [
    ({"a.lora_down.weight": (8, 64), "a.lora_up.weight": (64, 8)}, "lora", 8),
    ({"a.lora_A.weight": (16, 64)}, "lora", 16),
    ({"a.lora_down.weight": (8, 64, 3, 3), "b.lora_down.weight": (8, 64)}, "locon", 8),
    ({"a.hada_w1_a": (64, 4), "a.hada_w1_b": (4, 64)}, "loha", 4),
    ({"a.lokr_w1": (8, 8), "a.lokr_w2": (8, 8)}, "lokr", None),
    ({"a.lora_down.weight": (8, 64), "a.dora_scale": (64, 1)}, "dora", 8),
]


@pytest.mark.parametrize("shapes, kind, inner", TYPES)
def test_lora_type_and_rank(shapes: dict[str, tuple[int, ...]], kind: str, inner: int | None) -> None:
    assert (lora_type(Header(shapes=shapes)), lora_rank(Header(shapes=shapes))) == (kind, inner)
