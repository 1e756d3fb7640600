from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from intelligence.errors import UnsupportedModelError
from intelligence.generation.diffusers_host.loader import resolve_base_model
from intelligence.models import Architecture, Family, ModelKind, identify_family
from intelligence.models.evidence import evidence_in
from intelligence.models.header_facts import evidence_of_file
from intelligence.models.headers import read_header
from intelligence.registry import ModelRegistry

SDXL = {
    "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (8, 2048),
    "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias": (8,),
}
V, EPS = "v_prediction", "epsilon"
ZERO = 4518.8

Header = tuple[str, tuple[str, ...], dict[str, str], str, float, Family]

HEADERS: list[Header] = [
    ("merge", (), {}, EPS, 14.6146, Family.SDXL),
    ("ponyDiffusionV6XL", (), {}, EPS, 14.6146, Family.PONY),
    ("merge", ("v_pred",), {}, V, 14.6146, Family.NOOBAI_VPRED),
    ("merge", ("v_pred", "ztsnr"), {}, V, ZERO, Family.NOOBAI_VPRED),
    ("pony", ("v_pred", "ztsnr"), {}, V, ZERO, Family.PONY),
    ("merge", (), {"modelspec.prediction_type": "v"}, V, ZERO, Family.NOOBAI_VPRED),
    ("merge", (), {"modelspec.prediction_type": "v_prediction"}, V, ZERO, Family.NOOBAI_VPRED),
    ("noobai_vpred", (), {"modelspec.prediction_type": "epsilon"}, EPS, 14.6146, Family.NOOBAI),
    ("noobai_vpred", (), {}, V, ZERO, Family.NOOBAI_VPRED),
    ("noobaiXL", (), {"modelspec.title": "NoobAI v-pred 0.6"}, V, ZERO, Family.NOOBAI_VPRED),
    ("noobaiXL_epsilonPred11", (), {}, EPS, 14.6146, Family.NOOBAI),
    ("sdxl_lightning_4step", (), {}, EPS, 14.6146, Family.LIGHTNING),
]


@pytest.mark.parametrize("case", HEADERS)
def test_evidence_in_agrees_for_registry_and_diffusers_host(
    registry: ModelRegistry, model: Callable[..., Path], tmp_path: Path, case: Header
) -> None:
    name, keys, metadata, prediction, sigma_max, family = case
    path = model(tmp_path / "models" / f"{name}.safetensors", SDXL | dict.fromkeys(keys, (0,)), metadata)
    evidence = resolve_base_model(str(path)).evidence
    assert (evidence.prediction, evidence.sigma_max) == (prediction, sigma_max)
    assert evidence.architecture is Architecture.SDXL
    registry.scan({ModelKind.CHECKPOINT: [path.parent]})
    recorded, found = registry.get_model(name), identify_family(evidence)
    assert (recorded.architecture, recorded.family) == (found.architecture, found.family) == (Architecture.SDXL, family)
    assert recorded.findings["family"].source == found.reason


@pytest.mark.parametrize("key", ["edm_mean", "edm_vpred.sigma_max"])
def test_evidence_in_recognises_edm_which_is_not_loaded(model: Callable[..., Path], tmp_path: Path, key: str) -> None:
    path = model(tmp_path / "cosxl.safetensors", SDXL | {key: (0,)}, {})
    evidence = evidence_in(read_header(path), path.name)
    assert (evidence.prediction, evidence.sigma_max) == ("edm", None)
    with pytest.raises(UnsupportedModelError, match="EDM"):
        resolve_base_model(str(path))


def test_evidence_in_of_another_architecture(model: Callable[..., Path], tmp_path: Path) -> None:
    shapes = {"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": (24, 8)}
    evidence = evidence_in(read_header(model(tmp_path / "flux1-dev.safetensors", shapes, {})), "flux1-dev.safetensors")
    assert (evidence.architecture, evidence.prediction, evidence.sigma_max) == (Architecture.FLUX, None, None)


def test_evidence_of_file_keeps_short_entries(model: Callable[..., Path], tmp_path: Path) -> None:
    entries = {"modelspec.title": "Pony V6", "ss_tag_frequency": "{}", "modelspec.thumbnail": "data:"}
    found = evidence_of_file(model(tmp_path / "merge.safetensors", SDXL, entries))
    assert (found.name, found.architecture) == ("merge.safetensors", Architecture.SDXL)
    assert found.metadata == {"modelspec.title": "Pony V6"}
    assert identify_family(found).family is Family.PONY
    (tmp_path / "merge.gguf").write_bytes(b"GGUF")
    with pytest.raises(UnsupportedModelError, match=r"merge\.gguf"):
        evidence_of_file(tmp_path / "merge.gguf")


def test_a_refiner_is_not_loaded_as_sdxl(model: Callable[..., Path], tmp_path: Path) -> None:
    key = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
    path = model(tmp_path / "sd_xl_refiner_1.0.safetensors", {key: (8, 1280)}, {})
    with pytest.raises(UnsupportedModelError, match="both text encoders"):
        resolve_base_model(str(path))
