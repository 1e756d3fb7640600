"""Things of other packs on links: latents, images, hooks on a MODEL; and independent counts of a model's calls."""

from __future__ import annotations

import json

import torch
from comfy_api.latest import io

COUNTED = {"items": 0, "calls": 0}


class LabLatent(io.ComfyNode):
    """A random LATENT; `shape`, and `extra` entries, as JSON."""

    @classmethod
    def define_schema(cls):
        inputs = [io.String.Input("shape"), io.Int.Input("seed", default=0), io.String.Input("extra", default="{}")]
        return io.Schema(node_id="LabLatent", category="test", inputs=inputs, outputs=[io.Latent.Output("LATENT")])

    @classmethod
    def execute(cls, shape, seed, extra):
        generator = torch.Generator().manual_seed(seed)
        return io.NodeOutput({"samples": torch.randn(json.loads(shape), generator=generator), **json.loads(extra)})


class LabCount(io.ComfyNode):
    """The MODEL, whose diffusion model's calls are counted from now on."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Model.Input("model"), io.Int.Input("again", default=0)]
        return io.Schema(node_id="LabCount", category="test", inputs=inputs, outputs=[io.Model.Output("MODEL")])

    @classmethod
    def execute(cls, model, again):
        COUNTED.update(items=0, calls=0)
        network = model.model.diffusion_model
        if not hasattr(network, "counted"):
            network.counted = True
            network.register_forward_pre_hook(_count)
        return io.NodeOutput(model)


def _count(_network, inputs):
    COUNTED["items"] += inputs[0].shape[0]
    COUNTED["calls"] += 1


class LabCounted(io.ComfyNode):
    """Shows what was counted once `latent` is sampled."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Latent.Input("latent")]
        return io.Schema(node_id="LabCounted", category="test", inputs=inputs, outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, latent):
        return io.NodeOutput(ui={name: [count] for name, count in COUNTED.items()})


class LabImages(io.ComfyNode):
    """Shows the shape of IMAGEs, and whether they are equal to `other`."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Image.Input("one"), io.Image.Input("other", optional=True)]
        return io.Schema(node_id="LabImages", category="test", inputs=inputs, outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, one, other=None):
        equal = other is not None and one.shape == other.shape and torch.equal(one, other)
        return io.NodeOutput(ui={"shape": [list(one.shape)], "equal": [equal]})


class LabCfgFunction(io.ComfyNode):
    """MODEL with a function of its own that combines both predictions, as Mahiro or dynamic thresholding put there."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Model.Input("model")]
        return io.Schema(node_id="LabCfgFunction", category="test", inputs=inputs, outputs=[io.Model.Output("MODEL")])

    @classmethod
    def execute(cls, model):
        def half(args):
            return args["uncond"] + (args["cond"] - args["uncond"]) * args["cond_scale"] * 0.5

        model = model.clone()
        model.set_model_sampler_cfg_function(half)
        return io.NodeOutput(model)


NODES = [LabLatent, LabCount, LabCounted, LabImages, LabCfgFunction]
