"""LoRAs measured against models of ComfyUI's own classes, and found on a MODEL that others have patched."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from .locate import Installation
from .lora_patterns import (
    CLIP_L,
    PATTERNS,
    SD,
    is_own,
    lokr,
    lora,
    prefixed,
    processor,
    processors,
    text,
    unet,
    write_all,
)


@pytest.fixture(scope="module")
def found(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Shares of all LoRAs on all models, and what is found on patched models."""
    folder = tmp_path_factory.mktemp("fit")
    write_all(folder / "loras")
    write_patches(folder / "patches")
    return measured(installation, folder, folder / "patches")


def measured(installation: Installation, folder: Path, *arguments: str | Path) -> Any:
    """Return what `fit_program` prints for the LoRAs in `folder`."""
    program = Path(__file__).with_name("fit_program.py")
    parts = (installation.python, program, installation.path, folder / "loras", folder / "home", *arguments)
    done = subprocess.run([*map(str, parts)], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def matrix(found: Any) -> Any:
    """Model → LoRA → what is loaded of it, and the sentence that refuses it."""
    return found["models"]


@pytest.fixture
def patched(found: Any) -> Any:
    """Way of patching → LoRAs that are found on the MODEL."""
    return found["patched"]


def write_patches(folder: Path) -> None:
    folder.mkdir()
    modules = [module for module in unet(SD, 768) if "attn2" in module[0]]
    kohya = [*prefixed("lora_unet_", iter(modules)), *text("lora_te", *CLIP_L)]
    files = {
        "first": (lora, kohya),
        "second": (lora, kohya),
        "lokr": (lokr, kohya),
        "diffusers": (processor, list(processors(SD, 768))),
        "../outside": (lora, kohya),
    }
    for seed, (name, (form, names)) in enumerate(files.items()):
        generator = torch.Generator().manual_seed(seed)
        shapes = {key: shape for module in names for key, shape in form(*module).items()}
        tensors = {key: torch.randn(shape, generator=generator).half() for key, shape in shapes.items()}
        save_file(tensors, str(folder / f"{name}.safetensors"))


def test_auto_takes_a_lora_exactly_where_it_was_made_for(matrix: Any) -> None:
    pairs = {(model, name): found for model, row in matrix.items() for name, found in row["loras"].items()}
    wrong = {
        pair: found["auto"] for pair, found in pairs.items() if (found["auto"] is None) != is_own(pair[1], pair[0])
    }
    assert not wrong
    assert len(matrix) >= 12 and len(pairs) >= 12 * len(matrix)


def test_own_loras_are_loaded_whole(matrix: Any) -> None:
    for model, row in matrix.items():
        for name, found in row["loras"].items():
            if is_own(name, model):
                assert found["unet"][0] == found["unet"][2], (model, name)


LOADS_NOTHING = ("lora.loads_nothing", "lora.made_for_other")


def test_tags_are_refused_only_where_nothing_is_loaded(matrix: Any) -> None:
    for model, row in matrix.items():
        for name, found in row["loras"].items():
            assert (found["named"] in LOADS_NOTHING) == (found["loaded"] == 0), (model, name)
            assert found["named"] in (None, *LOADS_NOTHING), (model, name)


@pytest.mark.parametrize(
    "model, name, unet, clip",
    [
        ("flux", "klein 9b", (0, 112, 112), (0, 0, 0)),
        ("flux", "klein 4b", (20, 60, 80), (0, 0, 0)),
        ("flux", "chroma", (228, 0, 238), (0, 0, 0)),
        ("wan_14b", "wan 5b", (0, 300, 300), (0, 0, 0)),
        ("sdxl", "flux onetrainer", (0, 0, 418), (72, 0, 168)),
        ("sdxl", "kolors kohya", (722, 0, 722), (0, 0, 0)),
        ("sdxl", "sdxl text", (0, 0, 0), (264, 0, 264)),
        ("sd1", "sdxl text", (0, 0, 0), (72, 0, 264)),
        ("sd1", "sd2 kohya", (160, 32, 192), (0, 0, 0)),
    ],
)
def test_shares_of_pairs(matrix: Any, model: str, name: str, unet: tuple[int, ...], clip: tuple[int, ...]) -> None:
    found = matrix[model]["loras"][name]
    assert (tuple(found["unet"]), tuple(found["text"])) == (unet, clip)


def test_auto_takes_a_lora_exactly_where_it_was_made_for_on_oldest_comfyui(
    old_installation: Installation, tmp_path: Path
) -> None:
    write_all(tmp_path / "loras")
    models = measured(old_installation, tmp_path, "--models=sd1,sdxl,flux,z_image")["models"]
    taken = {(model, name) for model, row in models.items() for name, it in row["loras"].items() if it["auto"] is None}
    assert taken == {(model, name) for model in models for name in PATTERNS if is_own(name, model)}
    assert len(models) == 4


@pytest.mark.parametrize(
    "way, expected",
    [
        ("none", []),
        ("one", [("first.safetensors", 0.8, 1.0)]),
        ("twin", [("second.safetensors", 0.8, 1.0)]),
        ("two", [("first.safetensors", 0.8, 1.0), ("lokr.safetensors", -0.5, 1.0)]),
        ("four", [(f"{name}.safetensors", 0.8, 1.0) for name in ("first", "second", "lokr", "diffusers")]),
        ("bypassed", [("first.safetensors", 0.8, 1.0)]),
        ("outside", [("", 0.8, 0.0)]),
        ("outside with a hint", [("outside.safetensors", 0.8, 0.5)]),
        ("some blocks", [("first.safetensors", 0.8, 1.0)]),
        ("some blocks of one outside", [("", 0.8, 0.0)]),
        ("some blocks of one outside with a hint", [("outside.safetensors", 0.8, 0.5)]),
    ],
)
def test_applied_loras_are_named_by_values(patched: Any, way: str, expected: list[tuple[str, float, float]]) -> None:
    assert [(lora["name"], lora["strength"], lora["confidence"]) for lora in patched[way]] == expected


def test_sampling_patches_are_named_by_their_nodes(patched: Any) -> None:
    assert patched["patches of none"] == []
    assert {(patch["slot"], patch["name"]) for patch in patched["patches of all"]} == {
        ("model_sampling", "ModelSamplingDiscreteDistilled+LCM"),
        ("sampler_cfg_function", "RescaleCFG"),
        ("sampler_post_cfg_function", "PerturbedAttentionGuidance"),
        ("sampler_post_cfg_function", "SelfAttentionGuidance"),
        ("attn1", "SelfAttentionGuidance"),
    }
