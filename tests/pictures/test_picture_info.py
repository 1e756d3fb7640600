"""Pictures as other programs write them, and what is read in them."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from intelligence import InvalidInputError
from intelligence.pictures.comfy_graph import graph_facts
from intelligence.pictures.exif import exif_bytes
from intelligence.pictures.picture_info import PictureInfo, UsedLoRA, read_picture

pytestmark = pytest.mark.unit

A1111 = """a fox, <lora:fox style:0.8> (snow:1.2)
Negative prompt: blurry, low quality
Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 5, Size: 512x768, Model hash: abcdef0123, \
Model: "models, mine", Denoising strength: 0.5, Lora hashes: "fox style: 0123456789ab", Version: v1.10.1"""

SWARM = {
    "sui_image_params": {
        "prompt": "a fox",
        "negativeprompt": "blurry",
        "model": "sdxl/base",
        "seed": 5,
        "steps": 20,
        "cfgscale": 7.0,
        "width": 512,
        "height": 768,
        "sampler": "dpmpp_2m",
        "scheduler": "karras",
        "loras": ["fox", "snow"],
        "loraweights": ["0.8", "-0.5"],
    }
}

FOOOCUS = {
    "prompt": "a fox",
    "negative_prompt": "blurry",
    "seed": "5",
    "steps": 20,
    "guidance_scale": 7.0,
    "resolution": "(512, 768)",
    "sampler": "dpmpp_2m",
    "scheduler": "karras",
    "base_model": "juggernaut.v8",
    "base_model_hash": "abcdef0123",
    "loras": [["fox", 0.8, "0123456789"]],
    "version": "Fooocus v2.5.5",
}

INVOKE = {
    "positive_prompt": "a fox",
    "negative_prompt": "blurry",
    "model": {"name": "sdxl", "hash": "blake3:abcdef0123"},
    "loras": [{"model": {"name": "fox"}, "weight": 0.8}],
    "steps": 20,
    "cfg_scale": 7.0,
    "seed": 5,
    "width": 512,
    "height": 768,
    "scheduler": "dpmpp_2m_k",
}

INVOKE_2 = {
    "model_weights": "sd-1.5",
    "model_hash": "abcdef0123",
    "image": {"prompt": [{"prompt": "a fox [blurry]", "weight": 1.0}], "steps": 20, "cfg_scale": 7.0, "seed": 5}
    | {"sampler": "k_dpmpp_2", "width": 512, "height": 768},
}

COMFY = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": ["9", 0],
            "steps": 20,
            "cfg": 7.0,
            "sampler_name": "dpmpp_2m",
            "scheduler": "karras",
            "denoise": 1.0,
            "model": ["5", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["8", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sdxl.safetensors"}},
    "5": {
        "class_type": "LoraLoader",
        "inputs": {"lora_name": "fox.safetensors", "strength_model": 0.8, "model": ["4", 0], "clip": ["4", 1]},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["5", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["5", 1]}},
    "8": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
    "9": {"class_type": "PrimitiveInt", "inputs": {"value": 5}},
    "10": {"class_type": "SaveImage", "inputs": {"images": ["11", 0]}},
    "11": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
}

FLUX = {
    "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["9", 0]}},
    "3": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["2", 0]}},
    "4": {"class_type": "BasicGuider", "inputs": {"model": ["1", 0], "conditioning": ["3", 0]}},
    "5": {"class_type": "RandomNoise", "inputs": {"noise_seed": 5}},
    "6": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
    "7": {"class_type": "BasicScheduler", "inputs": {"scheduler": "simple", "steps": 20, "model": ["1", 0]}},
    "8": {
        "class_type": "SamplerCustomAdvanced",
        "inputs": {"noise": ["5", 0], "guider": ["4", 0], "sampler": ["6", 0], "sigmas": ["7", 0]},
    },
}

SIZE = {"width": 512, "height": 768}
NUMBERS = {"steps": 20, "cfg": 7.0, "seed": 5, **SIZE}
NAMED = {**NUMBERS, "sampler": "dpmpp_2m", "scheduler": "karras"}


def png(path: Path, **texts: str) -> Path:
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    Image.new("RGB", (8, 8)).save(path / "x.png", pnginfo=info)
    return path / "x.png"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (
            {"parameters": A1111},
            PictureInfo(
                "A1111",
                "a fox, (snow:1.2)",
                "blurry, low quality",
                "models, mine",
                "abcdef0123",
                (UsedLoRA("fox style", 0.8),),
                {**NUMBERS, "sampler": "DPM++ 2M", "scheduler": "Karras", "denoise": 0.5},
            ),
        ),
        (
            {"parameters": json.dumps(SWARM)},
            PictureInfo(
                "SwarmUI",
                "a fox",
                "blurry",
                "sdxl/base",
                loras=(UsedLoRA("fox", 0.8), UsedLoRA("snow", -0.5)),
                settings=NAMED,
            ),
        ),
        (
            {"parameters": json.dumps(FOOOCUS), "fooocus_scheme": "fooocus"},
            PictureInfo("Fooocus", "a fox", "blurry", "juggernaut.v8", "abcdef0123", (UsedLoRA("fox", 0.8),), NAMED),
        ),
        (
            {"invokeai_metadata": json.dumps(INVOKE)},
            PictureInfo(
                "InvokeAI",
                "a fox",
                "blurry",
                "sdxl",
                "abcdef0123",
                (UsedLoRA("fox", 0.8),),
                {**NUMBERS, "sampler": "dpmpp_2m_k"},
            ),
        ),
        (
            {"sd-metadata": json.dumps(INVOKE_2)},
            PictureInfo(
                "InvokeAI", "a fox", "blurry", "sd-1.5", "abcdef0123", settings={**NUMBERS, "sampler": "k_dpmpp_2"}
            ),
        ),
        (
            {"prompt": json.dumps(COMFY), "workflow": "{}"},
            PictureInfo(
                "ComfyUI",
                "a fox",
                "blurry",
                "sdxl.safetensors",
                loras=(UsedLoRA("fox.safetensors", 0.8),),
                settings={**NAMED, "denoise": 1.0},
                has_workflow=True,
            ),
        ),
        (
            {"prompt": json.dumps(FLUX)},
            PictureInfo(
                "ComfyUI",
                "a fox",
                model="flux1-dev.safetensors",
                settings={"steps": 20, "seed": 5, "sampler": "euler", "scheduler": "simple"},
            ),
        ),
        ({"workflow": "{}"}, PictureInfo("ComfyUI", has_workflow=True)),
    ],
    ids=["a1111", "swarmui", "fooocus", "invokeai", "invokeai 2", "comfyui", "comfyui flux", "workflow alone"],
)
def test_read_picture_in_png(tmp_path: Path, texts: dict[str, str], expected: PictureInfo) -> None:
    assert read_picture(png(tmp_path, **texts)) == expected


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
@pytest.mark.parametrize(
    ("comment", "program"),
    [(A1111, "A1111"), (json.dumps(SWARM), "SwarmUI"), (json.dumps(FOOOCUS), "Fooocus")],
)
def test_read_picture_in_user_comment(tmp_path: Path, suffix: str, comment: str, program: str) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.new("RGB", (8, 8)).save(path, exif=exif_bytes({}, comment))
    info = read_picture(path)
    assert (info.program, info.settings["seed"], info.settings["height"]) == (program, 5, 768)


def test_read_picture_of_fooocus_in_jpeg(tmp_path: Path) -> None:
    """Fooocus puts its JSON into the main directory, as text."""
    exif = Image.Exif()
    exif[0x9286] = json.dumps(FOOOCUS)
    Image.new("RGB", (8, 8)).save(tmp_path / "x.jpg", exif=exif)
    assert read_picture(tmp_path / "x.jpg").model == "juggernaut.v8"


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"parameters": "a fox"},
        {"parameters": "[" * 100_000},
        {"prompt": '{"1": {"inputs": {"positive": ["1", 0], "seed": ["1", 0]}}, "2": 3}', "parameters": "{}"},
        {"intelligent_generation": '{"plan": 3}'},
    ],
    ids=["nothing", "prompt alone", "deep", "a loop", "a damaged record"],
)
def test_read_picture_that_tells_nothing(tmp_path: Path, texts: dict[str, str]) -> None:
    path = png(tmp_path, **texts)
    if "prompt" in texts:
        assert read_picture(path).settings == {}
        return
    with pytest.raises(InvalidInputError, match="does not tell"):
        read_picture(path)


ENDLESS = "9" * 400
SAMPLED = """{"1": {"class_type": "KSampler", "inputs": {"steps": 5, "cfg": 5, "seed": 5, "model": ["2", 0]}},
    "2": {"class_type": "LoraLoader", "inputs": {"lora_name": "x", "strength_model": 5}}}"""


@pytest.mark.parametrize(
    "texts",
    [
        {"parameters": f"a <lora:x:{ENDLESS}>\nSteps: {ENDLESS}, CFG scale: 1e999, Seed: nan, Size: {ENDLESS}x64"},
        {"parameters": f"a\nSteps: 1, CFG scale: -inf, Seed: 5, Size: {ENDLESS}x64, Hires upscale: 2"},
        {"prompt": SAMPLED.replace("5", ENDLESS)},
        {"prompt": SAMPLED.replace("5", "1e999")},
        {"prompt": SAMPLED.replace("5", "NaN")},
        {"invokeai_metadata": '{"positive_prompt": "a", "steps": 1e999, "loras": [{"model": "x", "weight": 1e999}]}'},
        {"sui_image_params": '{"prompt": "a", "steps": 1e999, "cfgscale": NaN}', "parameters": "a"},
    ],
    ids=["a1111", "second pass", "long", "infinite", "none", "invokeai", "swarmui"],
)
def test_read_picture_of_numbers_that_json_has_not(tmp_path: Path, texts: dict[str, str]) -> None:
    try:
        found = read_picture(png(tmp_path, **texts))
    except InvalidInputError:
        return
    json.dumps(found.to_dict(), allow_nan=False)
    numbers = [value for value in found.settings.values() if not isinstance(value, str)]
    assert all(-1e300 < number < 1e300 for number in [*numbers, *(lora.strength for lora in found.loras)])


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + bytes(20)])
def test_read_picture_of_no_picture(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(InvalidInputError, match=r"x\.png"):
        read_picture(tmp_path / "x.png")


def test_read_picture_with_texts_behind_the_pixels(tmp_path: Path) -> None:
    path = png(tmp_path)
    data = path.read_bytes()
    chunk = b"tEXt" + b"parameters\0" + A1111.encode()
    late = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(data[:-12] + late + data[-12:])
    assert read_picture(path).loras == (UsedLoRA("fox style", 0.8),)


@pytest.mark.parametrize("text", ["a" * 30_000, " " * 60_000, "ab:{" * 7_000, "x y " * 7_000, "<lora:" * 5_000])
def test_read_picture_of_text_that_a_pattern_could_hang_on(tmp_path: Path, text: str) -> None:
    path = png(tmp_path, parameters=f"{text}\n{text}\nSteps: 20, Sampler: euler, Seed: 5, {text}")
    assert read_picture(path).program == "A1111"  # at once: quadratic patterns take minutes


STACKERS = {
    "core": {"lora_name": "fox.safetensors", "strength_model": 0.7, "strength_clip": 1.0},
    "power lora loader": {
        "lora_1": {"on": True, "lora": "fox.safetensors", "strength": 0.7},
        "lora_2": {"on": False, "lora": "snow.safetensors", "strength": 1},
    },
    "numbered": {
        "lora_count": 1,
        "lora_name_1": "fox.safetensors",
        "lora_wt_1": 0.7,
        "lora_name_2": "snow.safetensors",
    },
    "switched": {
        "switch_1": "On",
        "lora_name_1": "fox.safetensors",
        "model_weight_1": 0.7,
        "switch_2": "Off",
        "lora_name_2": "snow.safetensors",
        "lora_name_3": "None",
    },
    "lora manager": {
        "loras": {
            "__value__": [
                {"name": "fox.safetensors", "strength": "0.7", "active": True},
                {"name": "snow", "strength": 1, "active": False},
            ]
        }
    },
}
"""Inputs of nodes of several packs, each of which loads one LoRA at .7."""


@pytest.mark.parametrize("inputs", STACKERS.values(), ids=STACKERS)
def test_graph_facts_loras_of_other_packs(inputs: dict[str, Any]) -> None:
    graph = {
        "1": {"class_type": "Load", "inputs": {"ckpt_name": "sdxl.safetensors"}},
        "2": {"class_type": "Stack", "inputs": {"model": ["1", 0], **inputs}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["2", 1]}},
        "4": {"class_type": "KSampler", "inputs": {"model": ["2", 0], "positive": ["3", 0], "seed": 5, "steps": 20}},
    }
    facts = graph_facts(graph)
    assert facts is not None
    assert facts.loras == (("fox.safetensors", 0.7),)
