"""Runs two passes with the pack's host and with core nodes, in ComfyUI's process, and prints both as JSON.

    python second_pass_program.py CHECKOUT HOME

Each case: a size or a latent to start from, an upscaler, a sampler. Equal means the same latents, bit for bit.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from comfy_process import become_comfyui
from upscale_models import write_upscale_model

MODEL = "2x-tiny.safetensors"

CASES: dict[str, dict[str, Any]] = {
    "384x384 latent": {"size": (384, 384), "sampler": ("euler", "normal")},
    "512x384 latent": {"size": (512, 384), "sampler": ("euler_ancestral", "karras")},
    "192x128 from a latent": {"start": (128, 88), "denoise": 0.6, "sampler": ("dpmpp_2m", "karras")},
    "344x344 model": {"size": (344, 344), "upscaler": MODEL, "sampler": ("euler", "normal")},
    "448x320 model": {"size": (448, 320), "upscaler": MODEL, "sampler": ("dpmpp_2m_sde", "simple")},
    "model from a latent": {"start": (96, 96), "denoise": 0.5, "upscaler": MODEL, "sampler": ("heun", "beta")},
}
"""Name → the picture's size in pixels, or that of the latent that it starts from."""


def core(nodes: Any, inputs: dict[str, Any], case: dict[str, Any], second: Any, size: tuple[int, int]) -> Any:
    """Return the latents of the graph of core nodes."""
    sampler, scheduler = case["sampler"]
    model, positive, negative, vae = (inputs[name] for name in ("model", "positive", "negative", "vae"))
    fixed = (sampler, scheduler, positive, negative)
    denoise = case.get("denoise", 1.0)
    start = inputs["latent"] or nodes.EmptyLatentImage().generate(second.width, second.height, 1)[0]
    first = nodes.KSampler().sample(model, 7, 4, 6.0, *fixed, start, denoise)[0]
    if second.upscaler == "latent":
        enlarged = nodes.LatentUpscale().upscale(first, "bilinear", *size, "disabled")[0]
    else:
        known = nodes.NODE_CLASS_MAPPINGS
        loaded = known["UpscaleModelLoader"].execute(second.upscaler)[0]
        larger = known["ImageUpscaleWithModel"].execute(loaded, nodes.VAEDecode().decode(vae, first)[0])[0]
        exact = nodes.ImageScale().upscale(larger, "lanczos", *size, "disabled")[0]
        enlarged = nodes.VAEEncode().encode(vae, exact)[0]
    return nodes.KSampler().sample(model, 7, second.steps, 6.0, *fixed, enlarged, second.denoise)[0]["samples"]


def main() -> None:
    checkout, home = sys.argv[1:3]
    become_comfyui(checkout, home)
    import comfy_extras.nodes_upscale_model as upscale_nodes
    import folder_paths
    import torch
    from pack.intelligence.config import SecondPassUse
    from pack.intelligence.generation.choice_requests import SettingsRequest
    from pack.intelligence.generation.sampling_request import SamplingRequest
    from pack.intelligence.memory import MemoryRequest
    from pack.intelligence.prompt import PromptAnalyzer
    from pack.nodes.host import demo_model, device_memory, model_evidence, server_planner
    from pack.nodes.host.comfy_host import ComfyHost, fitted_run
    from pack.nodes.host.core_nodes import core_nodes
    from pack.nodes.host.sampler_run import SamplerInputs

    nodes, folder = core_nodes(), Path(home) / "upscale_models"
    write_upscale_model(folder / MODEL)
    folder_paths.add_model_folder_path("upscale_models", str(folder))
    for name in ("UpscaleModelLoader", "ImageUpscaleWithModel"):
        nodes.NODE_CLASS_MAPPINGS[name] = getattr(upscale_nodes, name)
    torch.set_grad_enabled(False)
    model, clip, vae = demo_model.load_demo_model()
    encode = nodes.CLIPTextEncode().encode
    given = {"positive": encode(clip, "a lighthouse")[0], "negative": encode(clip, "blurry")[0]}
    planner, analysis = server_planner.planner(), PromptAnalyzer().analyze("a lighthouse")
    evidence = model_evidence.evidence(model, None, "")
    told = {}
    for name, case in CASES.items():
        start, latent = case.get("start"), None
        if start:
            noise = torch.Generator().manual_seed(3)
            latent = {"samples": torch.randn(1, 4, start[1] // 8, start[0] // 8, generator=noise)}
        width, height = case.get("size", start)
        settings = {"num_steps": 4, "guidance_scale": 6.0, "width": width, "height": height}
        settings |= dict(zip(("sampler_name", "scheduler"), case["sampler"], strict=True))
        request = SettingsRequest(settings=settings, upscalers=[MODEL])
        (chosen,) = planner.parametrize_variants(request, analysis, evidence)
        plan = device_memory.fit(chosen, model, vae, MemoryRequest(max_batch=1, tile_size=0))
        inputs = SamplerInputs(model, given["positive"], given["negative"], vae, latent, case.get("denoise", 1.0))
        use = SecondPassUse.ON if start else SecondPassUse.AUTO
        asked = SamplingRequest(7, second_pass=use, upscaler=case.get("upscaler", "latent"))
        run = fitted_run(plan, asked, inputs)
        made = ComfyHost.of_run(run, inputs, print).execute(run.plan, run.seeds)
        parameters = run.plan.parameters
        size, linked = (parameters.width, parameters.height), {**given, "model": model, "vae": vae, "latent": latent}
        theirs = core(nodes, linked, case, parameters.second_pass, size)
        told[name] = {
            "equal": bool(torch.equal(made.extra["latent"]["samples"], theirs)),
            "size": size,
            "predicted": parameters.forward_items,
            "computed": made.forward_items,
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
