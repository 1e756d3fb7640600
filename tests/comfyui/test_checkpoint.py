"""Tests of a real checkpoint: it is recognised by its file, its text encoders are full size, SDXL's LoRAs fit it."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from intelligence.memory import COMFYUI, MemoryManager, Resources
from intelligence.memory.corrections import FACTOR_BOUNDS

from . import checkpoint, loras
from .bench import Bench, generation
from .examples import checkpoint_example
from .graphs import CHECKPOINT, text_to_image
from .server import Server
from .test_identity import both, latents
from .test_memory import EULER, runs_out
from .test_parameters import AUTO, settings
from .test_sampling import picture
from .test_server import pixels
from .workflow import changed, node_id

DUSK = {"prompt": "a lighthouse at dusk"}
WITCH = {"prompt": "the mirkwood witch in a forest"}
WITCH_FILE = "characters/mirkwood_witch.safetensors"
CPU = Resources("cpu", "cpu", 64, 64, 64, 64)
SPEED_LORA = "sdxl_lightning_4step_lora.safetensors"


# Recognised by its file


def test_library_holds_checkpoint_and_its_loras(checkpoint_server: Server) -> None:
    client = checkpoint_server.client
    counts = client.library_after_scan()["counts"]
    assert (counts["checkpoint"], counts["lora"]) == (1, len(loras.LIBRARY))
    (found,) = client.get("/intelligent_generation/models", kind="checkpoint")
    assert found["model_id"] == f"checkpoint:{checkpoint.NAME}"


def test_checkpoint_has_every_tensor(checkpoint_server: Server) -> None:
    checkpoint_server.client.complete(text_to_image(lora=WITCH_FILE, seed=31, loader=CHECKPOINT))
    log = checkpoint_server.log()
    assert "Requested to load SDXL\n" in log
    assert "lora key not loaded" not in log
    for complaint in ("unet missing", "unet unexpected", "clip missing", "Missing VAE keys"):
        assert complaint not in log


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ("auto", ["SDXL: the title in its header, 'Random SDXL', names SDXL", "20 steps, CFG 7, dpmpp_2m/karras"]),
        ("pony", ["Pony: chosen by you", "25 steps, CFG 7, euler_ancestral/normal"]),
        ("lightning", ["Lightning: chosen by you", "4 steps, CFG 1, euler/sgm_uniform"]),
        ("noobai_vpred", ["26 steps, CFG 5, euler/normal", "RescaleCFG 0.7"]),
    ],
)
def test_family_is_inferred_or_named(checkpoint_server: Server, family: str, said: list[str]) -> None:
    shown = settings(
        checkpoint_server,
        checkpoint_example(
            checkpoint_server.client, PromptAnalyze=DUSK, ParamOptimize={**AUTO, "model_family": family}
        ),
    )
    for part in said:
        assert part in shown


def test_family_named_in_lora_recommend_decides_settings(checkpoint_server: Server) -> None:
    prompt = checkpoint_example(
        checkpoint_server.client, PromptAnalyze=DUSK, ParamOptimize=AUTO, LoRARecommend={"model_family": "pony"}
    )
    shown = settings(checkpoint_server, prompt)
    assert "Pony: chosen by you" in shown and "25 steps, CFG 7, euler_ancestral/normal" in shown
    assert "taken for" not in shown
    both = changed(prompt, {"ParamOptimize": {"model_family": "illustrious"}})
    shown = settings(checkpoint_server, both)
    assert "taken for Pony when LoRAs and quality tags were chosen" in shown and "Illustrious: chosen by you" in shown


@pytest.fixture
def speed_lora(checkpoint_server: Server) -> Iterator[str]:
    """A LoRA with the name of a distillation, for this test alone."""
    folder = checkpoint_server.base / "models" / "loras"
    path = folder / SPEED_LORA
    shutil.copy(next(folder.rglob("*mirkwood*.safetensors")), path)
    yield path.name
    path.unlink()


def test_speed_lora_of_core_loader_changes_settings(checkpoint_server: Server, speed_lora: str) -> None:
    prompt = checkpoint_example(checkpoint_server.client, PromptAnalyze=DUSK, ParamOptimize=AUTO)
    chooser = prompt[node_id(prompt, "LoRARecommend")]["inputs"]
    prompt["speed"] = {
        "class_type": "LoraLoaderModelOnly",
        "inputs": {"model": chooser["model"], "lora_name": speed_lora, "strength_model": 1.0},
    }
    chooser["model"] = ["speed", 0]
    assert "4 steps, CFG 1, euler/sgm_uniform" in settings(checkpoint_server, prompt)
    off = changed(prompt, {"speed": {"strength_model": 0.0}})
    assert "20 steps, CFG 7, dpmpp_2m/karras" in settings(checkpoint_server, off)


def test_model_evidence_reads_patched_sampling(checkpoint_server: Server) -> None:
    """v-prediction with zero terminal SNR, set by a core node behind the choice of LoRAs."""
    prompt = checkpoint_example(checkpoint_server.client, PromptAnalyze=DUSK, ParamOptimize=AUTO)
    source = [node_id(prompt, "LoRARecommend"), 0]
    prompt["v"] = {
        "class_type": "ModelSamplingDiscrete",
        "inputs": {"model": source, "sampling": "v_prediction", "zsnr": True},
    }
    prompt[node_id(prompt, "ParamOptimize")]["inputs"]["model"] = ["v", 0]
    shown = settings(checkpoint_server, prompt)
    assert "as NoobAI v-pred does" in shown and "RescaleCFG 0.7" in shown


# Sampled


def test_words_and_lora_change_picture(checkpoint_server: Server) -> None:
    prompts = [
        text_to_image(seed=21, loader=CHECKPOINT),
        text_to_image("an owl", seed=21, loader=CHECKPOINT),
        text_to_image(lora=WITCH_FILE, seed=21, loader=CHECKPOINT),
    ]
    pictures = [pixels(checkpoint_server, checkpoint_server.client.run(prompt)).astype(int) for prompt in prompts]
    for index, one in enumerate(pictures):
        for other in pictures[index + 1 :]:
            assert np.abs(one - other).mean() > 1


@pytest.mark.parametrize("wanted", [{}, {"sampler": "dpmpp_2m_sde", "scheduler": "karras"}])
def test_sampler_equals_ksampler(checkpoint_server: Server, wanted: dict[str, str]) -> None:
    """With a LoRA that fits it, at chosen settings and at others."""
    core, ours = latents(checkpoint_server, both(checkpoint_server, checkpoint_example, **wanted))
    assert torch.equal(core, ours)


def test_generation_names_checkpoint_and_lora(checkpoint_server: Server) -> None:
    client = checkpoint_server.client
    prompt = checkpoint_example(client, PromptAnalyze=WITCH, IntelligentSampler={"seed": 4})
    run = client.complete(prompt)
    generation = run.outputs[node_id(prompt, "Feedback")]["feedback"][0]["generation_id"]
    stored = client.get(f"/intelligent_generation/generations/{generation}")
    assert stored["base_model_id"] == checkpoint.NAME
    assert [item["name"] for item in run.outputs[node_id(prompt, "LoRARecommend")]["suggestions"]] == ["mirkwood_witch"]


def test_empty_library_still_makes_an_image(checkpoint_server: Server) -> None:
    client, folder = checkpoint_server.client, checkpoint_server.base / "models" / "loras"
    aside = folder.with_name("loras_aside")
    folder.rename(aside)
    folder.mkdir()
    try:
        prompt = checkpoint_example(client, PromptAnalyze=WITCH, IntelligentSampler={"seed": 5})
        run = client.complete(prompt)
    finally:
        folder.rmdir()
        aside.rename(folder)
    assert run.outputs[node_id(prompt, "LoRARecommend")]["suggestions"] == []
    assert "holds no LoRA" in run.outputs[node_id(prompt, "LoRARecommend")]["text"][0]


# Its VAE and its memory


@pytest.fixture
def bench(checkpoint_server: Server) -> Bench:
    return Bench(checkpoint_server.client, loader=CHECKPOINT)


def test_overflowing_vae_decodes_again_in_float32(bench: Bench) -> None:
    half = [bench.add("half", "ProbeVAE", vae=bench.vae, how="half"), 0]
    bench.ours("ours", vae=half)
    bench.told("ours")
    bench.add("save", "SaveImage", images=["ours", 0], filename_prefix="tests/half")
    found = bench.run()
    assert generation(found)["notes"] == ["image 1: the VAE overflowed in float16; decoded again in float32"]
    (image,) = picture(bench.client, found)
    assert image.std() > 5


def test_broken_vae_is_an_error(bench: Bench) -> None:
    broken = [bench.add("broken", "ProbeVAE", vae=bench.vae, how="broken"), 0]
    bench.ours("ours", vae=broken)
    bench.told("ours")
    found = bench.client.run(bench.prompt)
    assert found.status == "error"
    assert "even in float32" in found.error


def test_next_plan_counts_with_the_failure(bench: Bench) -> None:
    """The plan is made anew, and counts with the most that is believed: on a CPU there was memory to spare."""
    bench.ours("ours", EULER, seed=900)
    bench.told("ours")
    bench.run()
    failing = Bench(bench.client, loader=CHECKPOINT)
    failing.ours("ours", EULER, seed=901, model=runs_out(failing, "sampling")["model"])
    failing.told("ours")
    failing.run()

    bench.prompt["ours"]["inputs"]["seed"] = 902
    found = bench.run()
    assert "plan" in found.executed
    learned = generation(found)["plan"]["memory"]
    fresh = MemoryManager(host=COMFYUI).plan(64, 64, resources=CPU, max_batch=1, tile_size=0)
    activations = fresh.stages["unet"] - fresh.resident["unet"]
    assert learned["stages"]["unet"] - learned["resident"]["unet"] == pytest.approx(FACTOR_BOUNDS[1] * activations)


# Files of one model


@pytest.fixture
def smaller_file(checkpoint_server: Server) -> Iterator[str]:
    """The same model with 8 bit floats, as a header and a hole, for this test alone."""
    name = checkpoint.NAME.replace(".safetensors", "_fp8_scaled.safetensors")
    path = checkpoint_server.base / "models" / "checkpoints" / name
    size = 108_000_000
    tensor = {"dtype": "F8_E4M3", "shape": [size], "data_offsets": [0, size]}
    header = json.dumps({"model.diffusion_model.weight": tensor}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + size)
    yield name
    path.unlink()


def test_memory_plan_compares_files_of_the_model(checkpoint_server: Server, smaller_file: str) -> None:
    client = checkpoint_server.client
    prompt = checkpoint_example(client, PromptAnalyze=DUSK)
    text = client.complete(prompt).outputs[node_id(prompt, "MemoryPlan")]["text"][0]
    assert "of the 2 files of this model, this one is predicted to be the best for this device" in text
    assert smaller_file not in text  # which would fit too, and is further from exact
