"""Files of one model: which belong together, what they weigh, and which is best for a device."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from intelligence.config import MemorySettings, OffloadStrategy
from intelligence.memory import COMFYUI, MemoryManager, Resources
from intelligence.memory.model_files import ModelFile, file_reason, forecast, model_name, read_model_file
from intelligence.models import Architecture


@pytest.mark.parametrize(
    ("names", "model"),
    [
        (
            (
                "flux1-dev.safetensors",
                "flux1-dev-fp8.safetensors",
                "flux1-dev-fp8-e4m3fn.sft",
                "flux1-dev-Q4_K_S.gguf",
                "FLUX1-dev-BF16.safetensors",
            ),
            "flux1-dev",
        ),
        (
            (
                "z_image_turbo_bf16.safetensors",
                "z_image_turbo_int8_convrot.safetensors",
                "z_image_turbo_nvfp4.safetensors",
            ),
            "z_image_turbo",
        ),
        (("qwen_image_2512_fp8_e4m3fn.safetensors", "qwen_image_2512_bf16.safetensors"), "qwen_image_2512"),
        (("v1-5-pruned-emaonly-fp16.safetensors", "v1-5-pruned.ckpt"), "v1-5"),
    ],
)
def test_model_name_of_formats(names, model):
    assert {model_name(name) for name in names} == {model}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("flux1-dev-fp8.safetensors", "flux1-schnell-fp8.safetensors"),
        ("z_image_bf16.safetensors", "z_image_turbo_bf16.safetensors"),
        ("qwen_image_2512_bf16.safetensors", "qwen_image_bf16.safetensors"),
    ],
)
def test_model_name_keeps_editions_apart(one, other):
    assert model_name(one) != model_name(other)


def test_read_model_file_counts_the_network_alone(tmp_path):
    tensors = {
        "model.diffusion_model.a.weight": torch.zeros(1024, 1024, dtype=torch.float8_e4m3fn),
        "model.diffusion_model.a.bias": torch.zeros(1024, dtype=torch.bfloat16),
        "first_stage_model.b.weight": torch.zeros(1024, 4096),
        "conditioner.c.weight": torch.zeros(1024, 4096),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    found = read_model_file(tmp_path / "model.safetensors")
    assert (found.numbers, found.weights_gb) == ("F8_E4M3", (1024**2 + 2048) / 1024**3)


def test_read_model_file_takes_the_size_of_gguf(tmp_path):
    (tmp_path / "model-Q4_0.gguf").write_bytes(b"GGUF" + bytes(1020))
    assert read_model_file(tmp_path / "model-Q4_0.gguf") == ModelFile(str(tmp_path / "model-Q4_0.gguf"), "GGUF", 2**-20)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x08\0\0\0\0\0\0\0{broken}", b"\x02\0\0\0\0\0\0\0[]"])
def test_read_model_file_passes_over_what_it_cannot_read(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    assert read_model_file(tmp_path / "model.safetensors") is None
    assert read_model_file(tmp_path / "absent.safetensors") is None


WHOLE_MODELS = MemorySettings(OffloadStrategy.CPU_OFFLOAD)
BF16 = ModelFile("/m/flux1-dev.safetensors", "BF16", 22.2)
FP8 = ModelFile("/m/flux1-dev-fp8.safetensors", "F8_E4M3", 11.1)
INT8 = ModelFile("/m/flux1-dev-int8.safetensors", "I8", 11.2)
GGUF = ModelFile("/m/flux1-dev-Q4_K_S.gguf", "GGUF", 6.3)


def best_first(files, vram, multiplies=(), *, with_loras=False):
    resources = Resources("cuda", "Test", vram, vram, 64, 48, backend="cuda")

    def plan(file):
        details = {
            "architecture": Architecture.FLUX,
            "host": COMFYUI,
            "weights_gb": {"unet": file.weights_gb},
            "resources": resources,
            "settings": WHOLE_MODELS,
        }
        return MemoryManager().plan(1024, 1024, guided=False, **details)

    return forecast(files, plan, multiplies, with_loras=with_loras)


@pytest.mark.parametrize(
    ("vram", "multiplies", "with_loras", "best"),
    [
        (32, (), False, BF16),
        (16, (), False, INT8),  # nearer to exact than fp8
        (16, ("int8",), False, INT8),
        (32, ("int8",), False, INT8),
        (32, ("int8",), True, BF16),
        (12, ("int8",), False, GGUF),
    ],
)
def test_forecast_takes_what_fits_and_is_fastest(vram, multiplies, with_loras, best):
    found = best_first([GGUF, FP8, BF16, INT8], vram, multiplies, with_loras=with_loras)
    assert found[0].file == best
    assert found[0].plan.fits


def test_file_reason_names_the_file_that_fits():
    reason = file_reason(best_first([BF16, FP8], 16), BF16.path)
    assert reason.value == Path(FP8.path).name
    assert reason.message == "memory.smaller_file"
    assert "flux1-dev-fp8.safetensors (fp8, 11.1 GiB)" in reason.evidence


def test_file_reason_of_the_best_and_of_a_single_file():
    assert file_reason(best_first([BF16, FP8], 16), FP8.path).message == "memory.best_file"
    assert file_reason(best_first([FP8], 16), FP8.path) is None
    assert file_reason(best_first([BF16, FP8], 16), "/elsewhere/other.safetensors") is None
