"""The weights that LoRAs of all kinds change, read from names and shapes."""

from __future__ import annotations

import pytest

from intelligence.models.lora_modules import Change, Kind, lora_modules, module_name, modules_digest


def product(rows: int, columns: int) -> Change:
    return Change(Kind.PRODUCT, (rows, columns))


@pytest.mark.parametrize(
    "up, down",
    [
        (".lora_up.weight", ".lora_down.weight"),
        ("_lora.up.weight", "_lora.down.weight"),
        (".lora_B.weight", ".lora_A.weight"),
        (".lora.up.weight", ".lora.down.weight"),
        (".lora_B", ".lora_A"),
        (".lora_linear_layer.up.weight", ".lora_linear_layer.down.weight"),
        (".lora_B.default.weight", ".lora_A.default.weight"),
    ],
)
def test_lora_modules_names_of_pairs(up: str, down: str) -> None:
    assert lora_modules({f"a.b{up}": (640, 8), f"a.b{down}": (8, 2048)}) == {"a.b": product(640, 2048)}


KINDS = [
    ("companions", {".lora_up.weight": (6, 2), ".lora_down.weight": (2, 4), ".alpha": (), ".dora_scale": (6, 1)}, 4),
    ("convolution", {".lora_up.weight": (6, 2, 1, 1), ".lora_down.weight": (2, 4, 3, 3)}, 36),
    (
        "tucker",
        {".lora_up.weight": (6, 2, 1, 1), ".lora_down.weight": (2, 4, 1, 1), ".lora_mid.weight": (2, 2, 3, 3)},
        36,
    ),
    ("loha", {".hada_w1_a": (6, 2), ".hada_w1_b": (2, 4), ".hada_w2_a": (6, 2), ".hada_w2_b": (2, 4)}, 4),
    (
        "loha tucker",
        {
            ".hada_t1": (2, 2, 3, 3),
            ".hada_w1_a": (2, 6),
            ".hada_w1_b": (2, 4),
            ".hada_t2": (2, 2, 3, 3),
            ".hada_w2_a": (2, 6),
            ".hada_w2_b": (2, 4),
        },
        36,
    ),
    ("lokr", {".lokr_w1": (2, 2), ".lokr_w2": (3, 2)}, 4),
    ("lokr factored", {".lokr_w1_a": (2, 1), ".lokr_w1_b": (1, 2), ".lokr_w2_a": (3, 1), ".lokr_w2_b": (1, 2)}, 4),
    ("lokr convolution", {".lokr_w1": (2, 2), ".lokr_w2": (3, 2, 3, 3)}, 36),
    ("lokr tucker", {".lokr_w1": (2, 2), ".lokr_t2": (1, 1, 3, 3), ".lokr_w2_a": (1, 3), ".lokr_w2_b": (1, 2)}, 36),
    ("glora", {".a1.weight": (4, 2), ".a2.weight": (2, 4), ".b1.weight": (6, 2), ".b2.weight": (2, 4)}, 4),
    ("old glora", {".a1.weight": (2, 4), ".a2.weight": (4, 2), ".b1.weight": (2, 4), ".b2.weight": (6, 2)}, 4),
]


@pytest.mark.parametrize("tensors, columns", [case[1:] for case in KINDS], ids=[case[0] for case in KINDS])
def test_lora_modules_products(tensors: dict[str, tuple[int, ...]], columns: int) -> None:
    assert lora_modules({f"lora_unet_x{end}": shape for end, shape in tensors.items()}) == {
        "lora_unet_x": product(6, columns)
    }


def test_lora_modules_other_changes() -> None:
    shapes = {
        "oft.oft_blocks": (4, 8, 8),
        "boft.oft_blocks": (2, 4, 8, 8),
        "boft.alpha": (),
        "oft.rescale": (32, 1),
        "difference.diff": (6, 4),
        "difference.diff_b": (6,),
        "norm.w_norm": (6,),
        "norm.b_norm": (6,),
        "grown.lora_up.weight": (6, 2),
        "grown.lora_down.weight": (2, 8),
        "grown.reshape_weight": (2,),
    }
    assert lora_modules(shapes) == {
        "oft": Change(Kind.ROWS, (32,)),
        "boft": Change(Kind.ROWS, (32,)),
        "difference": Change(Kind.WHOLE, (6, 4)),
        "difference.diff_b": Change(Kind.BIAS, (6,)),
        "norm": Change(Kind.WHOLE, (6,)),
        "norm.diff_b": Change(Kind.BIAS, (6,)),
        "grown": Change(Kind.PADDED, (6, 8)),
    }


def test_lora_modules_counts_unusable_tensors() -> None:
    shapes = {
        "half.lora_up.weight": (6, 2),
        "ranks.lora_up.weight": (6, 2),
        "ranks.lora_down.weight": (3, 4),
        "other.lora_up.style.weight": (6, 2),
        "other.lora_down.style.weight": (2, 4),
        "boft without alpha.oft_blocks": (2, 4, 8, 8),
        "bundle_emb.word.string_to_param": (1, 768),
    }
    nothing = Change(Kind.NONE, ())
    assert lora_modules(shapes) == dict.fromkeys(("half", "ranks", "other", "boft without alpha"), nothing)


@pytest.mark.parametrize(
    "key, name",
    [
        ("a.b.lora_up.weight", "a.b"),
        ("a.b.lokr_w1", "a.b"),
        ("a.b.diff_b", "a.b.diff_b"),
        ("a.b.alpha", ""),
        ("bundle_emb.word.string_to_param", ""),
    ],
)
def test_module_name_is_that_of_lora_modules(key: str, name: str) -> None:
    assert module_name(key) == name


def test_modules_digest_ignores_rank_and_order() -> None:
    one = {"a.lora_up.weight": (6, 2), "a.lora_down.weight": (2, 4), "b.diff": (3,)}
    other = {"b.diff": (3,), "a.lora_A.weight": (8, 4), "a.lora_B.weight": (6, 8)}
    assert modules_digest(lora_modules(one)) == modules_digest(lora_modules(other)) != ""
    assert modules_digest(lora_modules({**one, "b.diff": (4,)})) != modules_digest(lora_modules(one))
    assert modules_digest({}) == ""
