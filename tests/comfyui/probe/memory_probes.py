"""Probes of memory: plans of devices that no CPU has, stages that run out of memory, and where weights lie."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd1_clip
import torch
from comfy_api.latest import io

PlanType = io.Custom("MEMORY_PLAN")
FAILING = []
"""Functions that restore the real ones."""
FORWARDS = []
"""Items of each forward since the last ProbeForwards, and the device of core's thread for it, if it has one."""


def ours(module):
    """A module of the pack, which ComfyUI loads under a name made of its path."""
    host = next(name for name in sys.modules if name.endswith(".nodes.host"))
    return importlib.import_module(f"{host}.{module}")


class ProbeMemory(io.ComfyNode):
    """The plan with other values in its memory plan: a JSON object of its fields."""

    @classmethod
    def define_schema(cls):
        inputs = [PlanType.Input("plan"), io.String.Input("changes")]
        return io.Schema(node_id="ProbeMemory", category="test", inputs=inputs, outputs=[PlanType.Output("plan")])

    @classmethod
    def execute(cls, plan, changes):
        changes = json.loads(changes)
        if "strategy" in changes:
            changes["strategy"] = type(plan.memory.strategy)(changes["strategy"])
        return io.NodeOutput(dataclasses.replace(plan, memory=dataclasses.replace(plan.memory, **changes)))


class ProbeRunsOut(io.ComfyNode):
    """From here on a stage runs out of memory: `times` calls, after the first `after`. `says`: as a RuntimeError of
    this text, as devices without an exception of their own raise it."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ProbeRunsOut",
            category="test",
            inputs=[
                io.Model.Input("model"),
                io.Clip.Input("clip"),
                io.Vae.Input("vae"),
                io.Combo.Input("stage", options=["text", "lora", "sampling", "decode"]),
                io.Int.Input("times", default=1),
                io.Int.Input("after", default=0),
                io.Int.Input("again", default=0),
                io.String.Input("says", default=""),
            ],
            outputs=[io.Model.Output("model"), io.Clip.Output("clip"), io.Vae.Output("vae")],
        )

    @classmethod
    def execute(cls, model, clip, vae, stage, times, after, again, says):
        while FAILING:
            FAILING.pop()()
        place = {
            "text": (comfy.sd1_clip.SDClipModel, "encode", lambda *_: True),
            "lora": (comfy.model_patcher.ModelPatcher, "patch_weight_to_device", lambda self, key: key in self.patches),
            "sampling": (comfy.model_base.BaseModel, "apply_model", lambda *_: True),
            "decode": (type(vae.first_stage_model), "decode", lambda *_: True),
        }[stage]
        fail(*place, after, times, says)
        return io.NodeOutput(model, clip, vae)


def fail(owner, name, counts, after, times, says):
    real = getattr(owner, name)
    calls = 0

    def failing(self, *args, **kwargs):
        nonlocal calls
        if counts(self, args[0]):
            calls += 1
            if after < calls <= after + times and says:
                raise RuntimeError(says)
            if after < calls <= after + times:
                raise comfy.model_management.OOM_EXCEPTION("Allocation on device (simulated)")
        return real(self, *args, **kwargs)

    setattr(owner, name, failing)
    FAILING.append(lambda: setattr(owner, name, real))


class ProbeTiles(io.ComfyNode):
    """An upscale model that runs out of memory in tiles larger than this."""

    @classmethod
    def define_schema(cls):
        inputs = [io.UpscaleModel.Input("upscale_model"), io.Int.Input("tile")]
        outputs = [io.UpscaleModel.Output("upscale_model")]
        return io.Schema(node_id="ProbeTiles", category="test", inputs=inputs, outputs=outputs)

    @classmethod
    def execute(cls, upscale_model, tile):
        return io.NodeOutput(Limited(upscale_model, tile))


class Limited:
    def __init__(self, model, tile):
        self._model, self._tile = model, tile

    def __getattr__(self, name):
        return getattr(self._model, name)

    def __call__(self, part):
        if max(part.shape[-2:]) > self._tile:
            raise comfy.model_management.OOM_EXCEPTION("Allocation on device (simulated)")
        return self._model(part)


class ProbeForwards(io.ComfyNode):
    """A MODEL that shows how many items each of its forwards has, for the ProbeForwarded behind it."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Model.Input("model"), io.Int.Input("again", default=0)]
        return io.Schema(node_id="ProbeForwards", category="test", inputs=inputs, outputs=[io.Model.Output("model")])

    @classmethod
    def execute(cls, model, again):
        FORWARDS.clear()

        def wrapper(apply_model, arguments):
            device = arguments["c"]["transformer_options"].get("multigpu_thread_device")
            FORWARDS.append((arguments["input"].shape[0], str(device)))
            return apply_model(arguments["input"], arguments["timestep"], **arguments["c"])

        model = model.clone()
        model.set_model_unet_function_wrapper(wrapper)
        return io.NodeOutput(model)


class ProbeForwarded(io.ComfyNode):
    """Shows the forwards of the run that gave this LATENT."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Latent.Input("latent")]
        return io.Schema(node_id="ProbeForwarded", category="test", inputs=inputs, outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, latent):
        items, devices = zip(*FORWARDS, strict=True)
        return io.NodeOutput(ui={"forwards": items, "devices": sorted(set(devices))})


class ProbeTwoDevices(io.ComfyNode):
    """A MODEL with a clone on a second device, as core's nodes for several cards make it: the CPU by another name."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Model.Input("model")]
        return io.Schema(node_id="ProbeTwoDevices", category="test", inputs=inputs, outputs=[io.Model.Output("model")])

    @classmethod
    def execute(cls, model):
        from comfy.multigpu import GPUOptionsGroup

        model = model.clone()
        other = model.deepclone_multigpu(new_load_device=torch.device("cpu", 0))
        other.is_multigpu_base_clone = True
        model.set_additional_models("multigpu", [other])
        model.match_multigpu_clones()
        GPUOptionsGroup().register(model)
        return io.NodeOutput(model)


class ProbeSteered(io.ComfyNode):
    """Applies this plan to MODEL, as MemoryPlan does; shows whether the result is another MODEL."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Model.Input("model"), PlanType.Input("plan")]
        outputs = [io.Model.Output("model")]
        return io.Schema(node_id="ProbeSteered", category="test", inputs=inputs, outputs=outputs, is_output_node=True)

    @classmethod
    def execute(cls, model, plan):
        steered = ours("plan_hooks").apply_plan(model, plan.memory)
        return io.NodeOutput(steered, ui={"another": [steered is not model]})


class ProbeSameImages(io.ComfyNode):
    """Shows whether two IMAGEs are equal to the last bit."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Image.Input("one"), io.Image.Input("other")]
        return io.Schema(node_id="ProbeSameImages", category="test", inputs=inputs, outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, one, other):
        same = one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()
        return io.NodeOutput(ui={"equal": [same], "shape": [list(one.shape)], "spread": [float(one.std())]})


class ProbeDevice(io.ComfyNode):
    """The MODEL as if the device that samples had memory of its own: `cpu:0`, which torch tells from `cpu`."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Model.Input("model")]
        return io.Schema(node_id="ProbeDevice", category="test", inputs=inputs, outputs=[io.Model.Output("model")])

    @classmethod
    def execute(cls, model):
        model = model.clone()
        model.load_device = torch.device("cpu", 0)
        return io.NodeOutput(model)


class ProbePlaced(io.ComfyNode):
    """Shows how much of MODEL lies on its device after the run that gave this LATENT, in bytes: by the patcher's own
    count and by its modules."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Model.Input("model"), io.Latent.Input("latent")]
        return io.Schema(node_id="ProbePlaced", category="test", inputs=inputs, outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, model, latent):
        shown = {"size": [model.model_size()], "counted": [model.loaded_size()], "placed": [placed(model)]}
        return io.NodeOutput(ui=shown)


def placed(model):
    modules = (module for module in model.model.modules() if getattr(module, "comfy_patched_weights", False))
    return sum(comfy.model_management.module_size(module) for module in modules)


class ProbeMoves(io.ComfyNode):
    """Places MODEL by plans of falling and rising limits, given in shares of its size, with the VAE beside it."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Model.Input("model"), io.Vae.Input("vae"), PlanType.Input("plan"), io.String.Input("shares")]
        return io.Schema(node_id="ProbeMoves", category="test", inputs=inputs, outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, model, vae, plan, shares):
        management, place = comfy.model_management, ours("plan_hooks").place_weights
        device = torch.device("cpu", 0)
        model, beside = model.clone(), vae.patcher.clone()
        model.load_device = beside.load_device = device
        counted, modules, kept = [], [], []
        free = management.get_free_memory
        management.get_free_memory = plenty
        try:
            management.load_models_gpu([beside])
            management.load_models_gpu([model])
            for share in json.loads(shares):
                resident = {**plan.memory.resident, "unet": 0.0}
                limit = share * model.model_size() / 2**30
                place(model, dataclasses.replace(plan.memory, budget_gb=limit, resident=resident, reserved_gb=resident))
                counted.append(model.loaded_size())
                modules.append(placed(model))
                kept.append(any(one.model is beside for one in management.current_loaded_models))
            management.free_memory(2**50, device)
        finally:
            management.get_free_memory = free
        sizes = [model.model_size(), beside.model_size()]
        return io.NodeOutput(ui={"counted": counted, "placed": modules, "kept": kept, "sizes": sizes})


def plenty(device=None, torch_free_too=False):
    """Free memory that stays the same: a CPU's is the RAM, which others use too."""
    return (2**40, 2**40) if torch_free_too else 2**40


class ProbeAsked(io.ComfyNode):
    """Decodes a LATENT by ours in tiles; shows what memory the VAE asked for, and for the whole image."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Latent.Input("latent"), io.Vae.Input("vae"), PlanType.Input("plan")]
        return io.Schema(node_id="ProbeAsked", category="test", inputs=inputs, outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, latent, vae, plan):
        management, samples = comfy.model_management, latent["samples"]
        real, asked = management.load_models_gpu, []

        def noting(models, memory_required=0, **kwargs):
            asked.append(memory_required)
            return real(models, memory_required=memory_required, **kwargs)

        management.load_models_gpu = noting
        try:
            ours("vae_decode").decode(vae, samples, plan.memory, 1)
        finally:
            management.load_models_gpu = real
        whole = vae.memory_used_decode(samples.shape, vae.vae_dtype)
        return io.NodeOutput(ui={"asked": asked, "whole": [whole]})


NODES = [
    ProbeMemory,
    ProbeRunsOut,
    ProbeTiles,
    ProbeForwards,
    ProbeForwarded,
    ProbeTwoDevices,
    ProbeSteered,
    ProbeSameImages,
    ProbeDevice,
    ProbePlaced,
    ProbeMoves,
    ProbeAsked,
]
