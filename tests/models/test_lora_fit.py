"""The share of a LoRA that a model takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from intelligence.errors import UnsupportedModelError
from intelligence.models.headers import Shapes
from intelligence.models.lora_fit import FitShare, LoRAFit, ModuleReader, PartShare, Target, measure
from intelligence.models.lora_modules import lora_modules, modules_digest
from intelligence.models.metadata import ModelMetadata

TARGETS = {
    "lora_unet_q": Target("model.q.weight", (6, 4)),
    "lora_unet_conv": Target("model.conv.weight", (6, 4, 1, 1), (6,)),
    "lora_unet_norm": Target("model.norm.weight", (6,), (6,)),
    "lora_te_q": Target("clip.q.weight", (8, 8), text=True),
}


def pair(name: str, rows: int = 6, columns: int = 4) -> Shapes:
    return {f"{name}.lora_up.weight": (rows, 2), f"{name}.lora_down.weight": (2, columns)}


def share(shapes: Shapes, has_text: bool = True) -> FitShare:
    targets = {name: target for name, target in TARGETS.items() if has_text or not target.text}
    return measure(lora_modules(shapes), targets, has_text=has_text)


@pytest.mark.parametrize(
    "shapes, unet, text",
    [
        (pair("lora_unet_q"), (1, 0, 1), (0, 0, 0)),
        (pair("lora_unet_conv"), (1, 0, 1), (0, 0, 0)),
        (pair("lora_unet_q", 4, 6), (0, 1, 1), (0, 0, 0)),
        (pair("lora_unet_k"), (0, 0, 1), (0, 0, 0)),
        (pair("lora_te_q", 8, 8), (0, 0, 0), (1, 0, 1)),
        (pair("lora_te_k", 8, 8), (0, 0, 0), (0, 0, 1)),
        ({"lora_unet_conv.diff": (6, 4, 1, 1), "lora_unet_conv.diff_b": (6,)}, (2, 0, 2), (0, 0, 0)),
        ({"lora_unet_conv.diff": (6, 4)}, (0, 1, 1), (0, 0, 0)),
        ({"lora_unet_q.diff_b": (6,)}, (0, 1, 1), (0, 0, 0)),
        ({"lora_unet_norm.w_norm": (6,), "lora_unet_norm.b_norm": (6,)}, (2, 0, 2), (0, 0, 0)),
        ({"lora_unet_conv.oft_blocks": (3, 2, 2)}, (1, 0, 1), (0, 0, 0)),
        ({"lora_unet_conv.oft_blocks": (4, 2, 2)}, (0, 1, 1), (0, 0, 0)),
        ({**pair("lora_unet_q", 6, 8), "lora_unet_q.reshape_weight": (2,)}, (1, 0, 1), (0, 0, 0)),
        ({**pair("lora_unet_q", 6, 3), "lora_unet_q.reshape_weight": (2,)}, (0, 1, 1), (0, 0, 0)),
        ({"lora_unet_q.lora_up.weight": (6, 2)}, (0, 1, 1), (0, 0, 0)),
    ],
)
def test_measure_counts(shapes: Shapes, unet: tuple[int, ...], text: tuple[int, ...]) -> None:
    found = share(shapes)
    assert (found.unet, found.text) == (PartShare(*unet), PartShare(*text))


@pytest.mark.parametrize(
    "shapes, has_text, fits, loaded, total",
    [
        ({**pair("lora_unet_q"), **pair("lora_te_q", 8, 8)}, True, True, 2, 2),
        ({**pair("lora_unet_q"), **pair("lora_te_q", 8, 8)}, False, True, 1, 1),
        ({**pair("lora_unet_k"), **pair("lora_te_q", 8, 8)}, True, False, 1, 2),
        (pair("lora_te_q", 8, 8), True, True, 1, 1),
        (pair("lora_te_q", 8, 8), False, False, 0, 1),
        ({**pair("lora_unet_q"), **pair("lora_unet_k")}, True, True, 1, 2),
        ({**pair("lora_unet_q"), **pair("lora_unet_conv", 8, 8)}, True, False, 1, 2),
    ],
)
def test_fit_share_parts(shapes: Shapes, has_text: bool, fits: bool, loaded: int, total: int) -> None:
    found = share(shapes, has_text)
    assert (found.fits, found.loaded, found.total) == (fits, loaded, total)
    assert found.does_nothing == (loaded == 0)


def test_lora_fit_reads_each_set_of_modules_once(tmp_path: Path, model: Callable[..., Path]) -> None:
    shapes = pair("lora_unet_q")
    lora = ModelMetadata("lora:a", "a", local_path=str(tmp_path / "a.safetensors"))
    known = replace(lora, modules=modules_digest(lora_modules(shapes)))
    model(tmp_path / "a.safetensors", shapes)
    fit = LoRAFit(TARGETS, "mark")
    assert fit(known) == fit(lora) == share(shapes)
    (tmp_path / "a.safetensors").unlink()
    assert fit(replace(known, local_path="")) == share(shapes)
    assert fit(replace(lora, local_path=str(tmp_path / "b.safetensors"))) is None


@pytest.mark.parametrize(
    "names, further",
    [
        ({"lora_unet_q", "lora_unet_conv"}, 0),
        ({"lora_unet_q"}, 1),
        ({"lora_unet_q", "lora_unet_norm"}, None),
        ({"lora_unet_q", "lora_unet_conv", "lora_unet_norm"}, None),
    ],
)
def test_lora_fit_further_counts_modules_beside_names(
    tmp_path: Path, model: Callable[..., Path], names: set[str], further: int | None
) -> None:
    shapes = {**pair("lora_unet_q"), **pair("lora_unet_conv"), **pair("lora_unet_other")}
    path = model(tmp_path / "a.safetensors", shapes)
    lora = ModelMetadata("lora:a", "a", local_path=str(path), modules=modules_digest(lora_modules(shapes)))
    assert LoRAFit(TARGETS, "mark").further(lora, frozenset(names)) == further


def test_lora_fit_converts_names_first(tmp_path: Path, model: Callable[..., Path]) -> None:
    model(tmp_path / "a.safetensors", pair("other_q"))
    lora = ModelMetadata("lora:a", "a", local_path=str(tmp_path / "a.safetensors"))
    reader = ModuleReader(lambda shapes: {key.replace("other", "lora_unet"): shape for key, shape in shapes.items()})
    fit = LoRAFit(TARGETS, "mark", reader=reader)
    assert fit(lora) == share(pair("lora_unet_q"))


def test_module_reader_reads_a_replaced_file_as_it_is(tmp_path: Path, model: Callable[..., Path]) -> None:
    path = model(tmp_path / "a.safetensors", pair("new"))
    digest = modules_digest(lora_modules(pair("old")))
    assert set(ModuleReader().read(path, digest)) == {"new"}
    path.write_bytes(b"<html>not a model</html>")
    with pytest.raises(UnsupportedModelError, match="web page"):
        ModuleReader().read(path, digest)
