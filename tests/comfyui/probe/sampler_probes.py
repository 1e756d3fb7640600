"""Probes around the sampler: other plans, broken parts, and what came of a run."""

from __future__ import annotations

import gc
import json
import math
import resource
import threading
import time
import weakref
from collections import Counter
from itertools import pairwise
from pathlib import Path
from statistics import median

import comfy.k_diffusion.sampling
import comfy.model_management
import comfy.samplers
import comfy.sd
import torch
from comfy_api.latest import io

import nodes

PlanType = io.Custom("MEMORY_PLAN")
GenerationType = io.Custom("GENERATION")


class ProbePlan(io.ComfyNode):
    """The plan with other parameters: a JSON object of their fields."""

    @classmethod
    def define_schema(cls):
        inputs = [PlanType.Input("plan"), io.String.Input("changes")]
        return io.Schema(node_id="ProbePlan", category="test", inputs=inputs, outputs=[PlanType.Output("plan")])

    @classmethod
    def execute(cls, plan, changes):
        changes = json.loads(changes)
        improvements = type(plan.parameters.improvements)(**changes.pop("improvements", {}))
        if changes.get("sigmas"):
            changes["sigmas"] = tuple(changes["sigmas"])
        return io.NodeOutput(plan.changed(forward_items=None, improvements=improvements, **changes))


class ProbeRounded(io.ComfyNode):
    """The model with the matrices of its UNet rounded to another format and back.

    int8: a scale for each row; nf4: one for each 64 numbers, by bitsandbytes.
    """

    @classmethod
    def define_schema(cls):
        inputs = [io.Model.Input("model"), io.String.Input("dtype")]
        return io.Schema(node_id="ProbeRounded", category="test", inputs=inputs, outputs=[io.Model.Output("MODEL")])

    @classmethod
    def execute(cls, model, dtype):
        rounded = model.clone()
        weights = {name: each for name, each in model.model.state_dict().items() if each.ndim > 1}
        rounded.add_patches({name: ("diff", (_rounded(each, dtype) - each,)) for name, each in weights.items()})
        return io.NodeOutput(rounded)


def _rounded(weight, dtype):
    if dtype == "nf4":
        from bitsandbytes.functional import dequantize_nf4, quantize_nf4

        return dequantize_nf4(*quantize_nf4(weight.contiguous())).view_as(weight)
    if dtype != "int8":
        return weight.to(getattr(torch, dtype)).to(weight.dtype)
    rows = weight.flatten(1)
    scale = rows.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
    return ((rows / scale).round() * scale).view_as(weight)


class ProbeGeneration(io.ComfyNode):
    """Shows the stored form of a GENERATION."""

    @classmethod
    def define_schema(cls):
        inputs = [GenerationType.Input("generation")]
        return io.Schema(node_id="ProbeGeneration", category="test", inputs=inputs, outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, generation):
        return io.NodeOutput(ui={"generation": [generation.to_dict()]})


class ProbeEqual(io.ComfyNode):
    """Shows whether two LATENTs are equal to the last bit, and how far apart they are."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Latent.Input("one"), io.Latent.Input("other")]
        return io.Schema(node_id="ProbeEqual", category="test", inputs=inputs, outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, one, other):
        one, other = one["samples"].contiguous(), other["samples"].contiguous()
        equal = one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()
        apart = float((one - other).abs().max()) if one.shape == other.shape else None
        finite, largest = bool(torch.isfinite(one).all()), float(one.abs().max())
        shown = {"equal": equal, "apart": apart, "largest": largest, "shape": list(one.shape), "finite": finite}
        return io.NodeOutput(ui={name: [value] for name, value in shown.items()})


class ProbeVAE(io.ComfyNode):
    """A VAE that calls itself float16 and whose inner values overflow that (`half`): a CPU is slow in float16, so only
    they pass through it, the norms behind them make their size harmless. Or one with broken weights (`broken`), or one
    that costs nothing and paints what the latent's first channels hold (`cheap`)."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Vae.Input("vae"), io.Combo.Input("how", options=["half", "broken", "cheap"])]
        return io.Schema(node_id="ProbeVAE", category="test", inputs=inputs, outputs=[io.Vae.Output("vae")])

    @classmethod
    def execute(cls, vae, how):
        if how == "cheap":
            return io.NodeOutput(Cheap())
        weights = {name: weight.clone().float() for name, weight in vae.get_sd().items()}
        if how == "broken":
            weights["decoder.conv_out.weight"].fill_(torch.nan)
            return io.NodeOutput(comfy.sd.VAE(sd=weights, dtype=torch.float32))
        weights["post_quant_conv.weight"] *= 500
        weights["decoder.conv_in.weight"] *= 500
        half = comfy.sd.VAE(sd=weights, dtype=torch.float32)
        half.vae_dtype = torch.float16
        model = half.first_stage_model
        decode = model.decode
        model.decode = lambda samples, **options: decode(samples.float(), **options)
        model.decoder.conv_in.register_forward_hook(lambda _, __, values: values.half().float())
        return io.NodeOutput(half)


class Cheap:
    """Stands where a VAE stands when only the latents count."""

    vae_dtype = torch.float32

    def spacial_compression_decode(self):
        return 8

    def decode(self, samples):
        return torch.nn.functional.interpolate(samples[:, :3], scale_factor=8).movedim(1, -1).sigmoid()


class ProbeBreaks(io.ComfyNode):
    """A MODEL whose predictions are not-a-number (`nan`) or nothing (`flat`) from one call up to another, or that asks
    for an interrupt in a call (`interrupt`)."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ProbeBreaks",
            category="test",
            inputs=[
                io.Model.Input("model"),
                io.Combo.Input("how", options=["nan", "flat", "interrupt"]),
                io.Int.Input("first", default=0),
                io.Int.Input("end", default=1_000_000),
                io.Int.Input("again", default=0),
            ],
            outputs=[io.Model.Output("model")],
        )

    @classmethod
    def execute(cls, model, how, first, end, again):
        calls = iter(range(1_000_000_000))

        def wrapper(apply_model, arguments):
            denoised = apply_model(arguments["input"], arguments["timestep"], **arguments["c"])
            if not first <= next(calls) < end:
                return denoised
            if how == "interrupt":
                comfy.model_management.interrupt_current_processing()
                return denoised
            return torch.full_like(denoised, torch.nan if how == "nan" else 0.0)

        model = model.clone()
        model.set_model_unet_function_wrapper(wrapper)
        return io.NodeOutput(model)


class ProbeInterrupts(io.ComfyNode):
    """Runs core's KSampler and, as often or oftener, IntelligentSampler, `runs` times, every run interrupted in its
    second call of the model; shows what has piled up after a tenth of the runs and after all, and the objects a run
    leaves, the median of three stretches: a leak shows in each, what the server does beside the runs in one. Then one
    run of ours to the end."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ProbeInterrupts",
            category="test",
            inputs=[
                io.Model.Input("model"),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                io.Vae.Input("vae"),
                PlanType.Input("plan"),
                io.Int.Input("runs"),
            ],
            outputs=[io.Latent.Output("latent")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, model, positive, negative, vae, plan, runs):
        settings = plan.parameters
        names = settings.num_steps, settings.guidance_scale, settings.sampler_name, settings.scheduler
        sampler = nodes.NODE_CLASS_MAPPINGS["IntelligentSampler"]
        calls = 0

        def core(seed):
            latent = nodes.EmptyLatentImage().generate(settings.width, settings.height, 1)[0]
            return nodes.KSampler().sample(model, seed, *names, positive, negative, latent)[0]

        def ours(seed):
            return sampler.execute(model, positive, negative, vae, plan, seed, True, cfg_cutoff=0.28)[1]

        def interrupt(*_):
            nonlocal calls
            calls += 1
            if calls == 2:
                comfy.model_management.interrupt_current_processing()

        shown = {}
        piled_up()  # the first count fills caches of its own
        hook = model.model.diffusion_model.register_forward_pre_hook(interrupt)
        for who, count in ((core, max(30, runs // 5)), (ours, runs)):
            interrupted, most_calls, seen, kinds = 0, 0, [], []
            stretch = (count - count // 10) // 3
            marks = [count // 10 + number * stretch for number in range(4)]
            for run in range(marks[-1]):
                calls = 0
                try:
                    who(run)
                except comfy.model_management.InterruptProcessingException:
                    interrupted += 1
                most_calls = max(most_calls, calls)
                if run + 1 in marks:
                    seen.append(piled_up())
                    kinds.append(Counter(type(each).__name__ for each in gc.get_objects()))
            shown[who.__name__] = [
                {
                    "interrupted": interrupted,
                    "most_calls": most_calls,
                    "early": seen[0],
                    "late": seen[-1],
                    "objects_per_run": median(b["objects"] - a["objects"] for a, b in pairwise(seen)) / stretch,
                    "grown": " ".join(f"{name}+{more}" for name, more in (kinds[-1] - kinds[0]).most_common(8)),
                }
            ]
        hook.remove()
        return io.NodeOutput(ours(7), ui=shown)


class ProbeOverhead(io.ComfyNode):
    """Runs core's KSampler and VAEDecode, and IntelligentSampler, in turns; shows the wall and CPU seconds of each."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ProbeOverhead",
            category="test",
            inputs=[
                io.Model.Input("model"),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                io.Vae.Input("vae"),
                PlanType.Input("plan"),
                io.Int.Input("runs"),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, model, positive, negative, vae, plan, runs):
        settings = plan.parameters
        sampler = nodes.NODE_CLASS_MAPPINGS["IntelligentSampler"]
        names = settings.num_steps, settings.guidance_scale, settings.sampler_name, settings.scheduler

        def core(seed):
            latent = nodes.EmptyLatentImage().generate(settings.width, settings.height, 1)[0]
            (latent,) = nodes.KSampler().sample(model, seed, *names, positive, negative, latent)
            return nodes.VAEDecode().decode(vae, latent)[0]

        def ours(seed):
            return sampler.execute(model, positive, negative, vae, plan, seed, True)[0]

        images, taken = in_turns({"core": core, "ours": ours}, runs)
        same = all(torch.equal(*pair) for pair in zip(images["core"], images["ours"], strict=True))
        return io.NodeOutput(ui={**taken, "equal": [same]})


class ProbeCosts(io.ComfyNode):
    """Runs IntelligentSampler by several plans in turns; shows the wall and CPU seconds of each, and its GENERATION."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ProbeCosts",
            category="test",
            inputs=[
                io.Model.Input("model"),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                io.Vae.Input("vae"),
                PlanType.Input("reference"),
                PlanType.Input("speed"),
                PlanType.Input("balanced"),
                io.Int.Input("runs"),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, model, positive, negative, vae, runs, **plans):
        sampler = nodes.NODE_CLASS_MAPPINGS["IntelligentSampler"]
        whos = {
            name: lambda seed, plan=plan: sampler.execute(model, positive, negative, vae, plan, seed, True)[2]
            for name, plan in plans.items()
        }
        made, taken = in_turns(whos, runs)
        return io.NodeOutput(ui={**taken, **{name: [each[-1].to_dict()] for name, each in made.items()}})


def in_turns(whos, runs):
    """Calls each of `whos` with 0 … `runs`, in another order every time: (what they gave by name, the wall and CPU
    seconds of each call but the first, which loads and warms up, by name and clock)."""
    given = {name: [] for name in whos}
    taken = {f"{name}_{clock}": [] for name in whos for clock in ("wall", "cpu")}
    for run in range(runs + 1):
        first = run % len(whos)
        for name in [*whos, *whos][first : first + len(whos)]:
            wall, cpu = time.perf_counter(), time.process_time()
            given[name].append(whos[name](run))
            if run:
                taken[f"{name}_wall"].append(time.perf_counter() - wall)
                taken[f"{name}_cpu"].append(time.process_time() - cpu)
    return given, taken


class ProbeMixture(io.ComfyNode):
    """Measures the error of a plan's solver where the true solution is known: a mixture of Gaussians. `others` is a
    JSON list of [sampler, scheduler, steps] to measure beside it."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Model.Input("model"), PlanType.Input("plan"), io.String.Input("others")]
        return io.Schema(node_id="ProbeMixture", category="test", inputs=inputs, outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, model, plan, others):
        settings = plan.parameters
        start = torch.randn(2048, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        truth = solve("euler", start, exponential(4000))

        def error(sampler, sigmas):
            return float((solve(sampler, start, sigmas) - truth).square().mean().sqrt())

        def schedule(sampler, scheduler, steps):
            return comfy.samplers.KSampler(model, steps, torch.device("cpu"), sampler, scheduler, 1.0).sigmas

        planned = (
            torch.tensor(settings.sigmas)
            if settings.sigmas
            else schedule(settings.sampler_name, settings.scheduler, settings.num_steps)
        )
        errors = [
            error(sampler, schedule(sampler, scheduler, steps)) for sampler, scheduler, steps in json.loads(others)
        ]
        return io.NodeOutput(ui={"plan": [error(settings.sampler_name, planned)], "others": errors})


SIGMA_MAX, SIGMA_MIN = 14.614643, 0.0291671
MODES = torch.tensor([[1.2, 0.0], [-0.3, 1.1], [-1.0, -0.4], [0.4, -1.2], [0.0, 0.1]], dtype=torch.float64)
WIDTHS = torch.tensor([0.05, 0.15, 0.3, 0.1, 0.2], dtype=torch.float64)
WEIGHTS = torch.tensor([0.3, 0.2, 0.2, 0.2, 0.1], dtype=torch.float64)
"""Five Gaussians in the plane; together they spread about as far as SDXL's latents (1)."""


def exponential(steps):
    return torch.cat([torch.linspace(math.log(SIGMA_MAX), math.log(SIGMA_MIN), steps).exp(), torch.zeros(1)]).double()


def solve(sampler, start, sigmas):
    """Return the samples of core's `sampler` from pure noise along `sigmas`, with the exact denoiser."""
    step = getattr(comfy.k_diffusion.sampling, f"sample_{sampler}")
    sigmas = sigmas.double()
    return step(denoised, start * SIGMA_MAX, sigmas, extra_args={}, disable=True)


def denoised(x, sigma, **_):
    """E[x0 | x] at `sigma`."""
    spread = WIDTHS**2 + sigma.reshape(-1, 1) ** 2
    offsets = x[:, None] - MODES
    share = (WEIGHTS.log() - spread.log() - offsets.square().sum(2) / (2 * spread)).softmax(1)
    means = MODES + offsets * (WIDTHS**2 / spread)[..., None]
    return (share[..., None] * means).sum(1)


def piled_up():
    """Counts of what a leak would leave behind: sqlite3 keeps weak references to up to 200 cursors that are gone."""
    gc.collect()
    objects = [each for each in gc.get_objects() if not (type(each) is weakref.ref and each() is None)]
    return {
        "objects": len(objects),
        "tensors": sum(issubclass(type(each), torch.Tensor) for each in objects),
        "models": sum(type(each).__name__.startswith("ModelPatcher") for each in objects),
        "loaded_models": len(comfy.model_management.current_loaded_models),
        "threads": threading.active_count(),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "rss_mb": int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20,
    }


NODES = [
    ProbePlan,
    ProbeRounded,
    ProbeGeneration,
    ProbeEqual,
    ProbeVAE,
    ProbeBreaks,
    ProbeInterrupts,
    ProbeOverhead,
    ProbeCosts,
    ProbeMixture,
]
