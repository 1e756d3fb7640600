"""Our nodes among packs that take our ids, patch ComfyUI's samplers, and leave a module `nodes` of their own behind."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from intelligence.generation.embedded import ensure_embedded

from . import loras
from .client import LIBRARY
from .examples import example
from .locate import PACK, Installation
from .server import Server
from .workflow import node_id

PIXEL_ART = "embedded_demo/pixel_art.safetensors"

STALE_NODES = """
import sys, types
sys.modules["nodes"] = types.ModuleType("nodes")
NODE_CLASS_MAPPINGS = {}
"""

NAMESAKE = """
class Explain:
    CATEGORY, FUNCTION, RETURN_TYPES = "another", "explain", ("STRING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",)}}

    def explain(self, image):
        return ("nothing",)


NODE_CLASS_MAPPINGS = {"Explain": Explain}
"""

PATCHED_SAMPLERS = """
import comfy.sample, comfy.samplers

calls = []


def counted(name, function):
    def wrapper(*args, **kwargs):
        calls.append(name)
        return function(*args, **kwargs)

    return wrapper


comfy.samplers.KSampler.SAMPLERS = comfy.samplers.KSampler.SAMPLERS + ["another_sampler"]
comfy.samplers.KSampler.sample = counted("KSampler.sample", comfy.samplers.KSampler.sample)
comfy.samplers.CFGGuider.sample = counted("CFGGuider.sample", comfy.samplers.CFGGuider.sample)
comfy.samplers.calc_cond_batch = counted("calc_cond_batch", comfy.samplers.calc_cond_batch)
comfy.sample.sample = counted("sample", comfy.sample.sample)


class Calls:
    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "another", "tell", (), True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",)}}

    def tell(self, image):
        return {"ui": {"calls": sorted(set(calls))}}


class Stacker:
    CATEGORY, FUNCTION, RETURN_TYPES = "another", "stack", ("LORA_STACK",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"lora": ("STRING", {})}, "optional": {"lora_stack": ("LORA_STACK",)}}

    def stack(self, lora, lora_stack=None):
        return ([*(lora_stack or []), (lora, 0.5, 0.5)],)


class ApplyStack:
    CATEGORY, FUNCTION, RETURN_TYPES = "another", "apply", ("MODEL", "CLIP")

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "clip": ("CLIP",), "lora_stack": ("LORA_STACK",)}}

    def apply(self, model, clip, lora_stack):
        import comfy.sd, comfy.utils, folder_paths

        for name, strength_model, strength_clip in lora_stack:
            tensors = comfy.utils.load_torch_file(folder_paths.get_full_path("loras", name), safe_load=True)
            model, clip = comfy.sd.load_lora_for_models(model, clip, tensors, strength_model, strength_clip)
        return (model, clip)


NODE_CLASS_MAPPINGS = {"AnotherCalls": Calls, "AnotherStacker": Stacker, "AnotherApplyStack": ApplyStack}
"""

PACKS: dict[str, Path | str] = {
    "a_stale_nodes": STALE_NODES,
    "a_patched_samplers": PATCHED_SAMPLERS,
    "intelligent-generation": PACK,
    "z_namesake": NAMESAKE,
}


@pytest.fixture(scope="module")
def crowd(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("crowd"), installation, PACKS, checkpoints=False)
    loras.make(server.base / "models" / "loras", loras.DEMO_LIBRARY)
    ensure_embedded(server.home / "embedded")
    with server.running():
        server.client.post(f"{LIBRARY}/rescan")
        server.client.library_after_scan()
        yield server


def test_collision_of_ids_is_told_with_its_pack(crowd: Server) -> None:
    holder = crowd.client.object_info()["Explain"]["python_module"]
    told = [line for line in crowd.log().splitlines() if "node id Explain" in line]
    if holder == "custom_nodes.z_namesake":
        assert any("custom_nodes.z_namesake took the node id Explain" in line for line in told)
    else:
        assert holder == "custom_nodes.intelligent-generation"
        assert any("already taken by custom_nodes.z_namesake" in line for line in told)
    assert "IMPORT FAILED" not in crowd.log()


def test_graph_runs_with_patched_samplers_and_anothers_stack(crowd: Server) -> None:
    prompt = example(crowd.client, PromptAnalyze={"prompt": "the mirkwood witch"}, IntelligentSampler={"seed": 3})
    del prompt[node_id(prompt, "Explain")]
    recommend, sampler = node_id(prompt, "LoRARecommend"), node_id(prompt, "IntelligentSampler")
    prompt["stacker"] = {"class_type": "AnotherStacker", "inputs": {"lora": PIXEL_ART}}
    prompt[recommend]["inputs"]["lora_stack"] = ["stacker", 0]
    prompt["calls"] = {"class_type": "AnotherCalls", "inputs": {"image": [sampler, 0]}}
    run = crowd.client.complete(prompt)
    used = {each["lora"]: each["strength"] for each in run.outputs[recommend]["suggestions"]}
    assert used.keys() == {"characters/mirkwood_witch.safetensors", PIXEL_ART}
    assert used[PIXEL_ART] == 0.5
    assert "CFGGuider.sample" in run.outputs["calls"]["calls"]


def test_our_choice_feeds_anothers_loader(crowd: Server) -> None:
    """The stack goes to a MODEL that has no LoRA yet."""
    prompt = example(crowd.client, PromptAnalyze={"prompt": "the mirkwood witch"}, IntelligentSampler={"seed": 4})
    del prompt[node_id(prompt, "Explain")]
    recommend, loader = node_id(prompt, "LoRARecommend"), node_id(prompt, "CheckpointOrFirst")
    plain = {"model": [loader, 0], "clip": [loader, 1], "lora_stack": [recommend, 5]}
    prompt["applied"] = {"class_type": "AnotherApplyStack", "inputs": plain}
    prompt[node_id(prompt, "MemoryPlan")]["inputs"]["model"] = ["applied", 0]
    with_stack = crowd.client.complete(prompt)
    prompt[node_id(prompt, "MemoryPlan")]["inputs"]["model"] = [recommend, 0]
    del prompt["applied"]
    with_ours = crowd.client.complete(prompt)
    saver = node_id(prompt, "SaveGeneration")
    assert with_stack.outputs[saver]["image_ids"] != with_ours.outputs[saver]["image_ids"]
    files = [crowd.client.view(run.outputs[saver]["images"][0]) for run in (with_stack, with_ours)]
    pixels = [Image.open(io.BytesIO(file)).tobytes() for file in files]
    assert pixels[0] == pixels[1]
