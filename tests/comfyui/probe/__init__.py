"""A pack of test nodes, linked beside ours: they show what lies on links, and change a plan as no CPU would."""

from __future__ import annotations

import dataclasses
import gc
import weakref

from comfy_api.latest import ComfyExtension, io

from . import memory_probes, sampler_probes

AnyType = io.Custom("*")
MADE = []
"""Weak references to the MODELs seen by ProbeModel."""


class ProbeModel(io.ComfyNode):
    """Shows which patched MODEL this is."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Model.Input("model"), io.Clip.Input("clip")]
        return io.Schema(node_id="ProbeModel", category="test", inputs=inputs, outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, model, clip):
        MADE.append(weakref.ref(model))
        return io.NodeOutput(ui={"patches": [str(model.patches_uuid)], "clip": [str(clip.patcher.patches_uuid)]})


class ProbeStack(io.ComfyNode):
    """Shows a LORA_STACK as other packs read it: rows of three."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Custom("LORA_STACK").Input("stack")]
        return io.Schema(node_id="ProbeStack", category="test", inputs=inputs, outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, stack):
        rows = [[name, strength_model, strength_clip] for name, strength_model, strength_clip in stack]
        return io.NodeOutput(ui={"stack": rows})


class ProbeStacker(io.ComfyNode):
    """Another pack's stacker: one LoRA."""

    @classmethod
    def define_schema(cls):
        inputs = [io.String.Input("name"), io.Float.Input("strength", min=-10, max=10)]
        outputs = [io.Custom("LORA_STACK").Output("stack")]
        return io.Schema(node_id="ProbeStacker", category="test", inputs=inputs, outputs=outputs)

    @classmethod
    def execute(cls, name, strength):
        return io.NodeOutput([(name, strength, strength / 2)])


class ProbeSplit(io.ComfyNode):
    """The plan of a smaller device: forward batches of this size."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Custom("MEMORY_PLAN").Input("plan"), io.Int.Input("batch_size")]
        outputs = [io.Custom("MEMORY_PLAN").Output("plan")]
        return io.Schema(node_id="ProbeSplit", category="test", inputs=inputs, outputs=outputs)

    @classmethod
    def execute(cls, plan, batch_size):
        memory = dataclasses.replace(plan.memory, batch_size=batch_size, max_batch=plan.parameters.batch_size)
        return io.NodeOutput(dataclasses.replace(plan, memory=memory))


class ProbeAlive(io.ComfyNode):
    """Counts the MODELs seen by ProbeModel that are still alive."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Int.Input("again")]
        return io.Schema(node_id="ProbeAlive", category="test", inputs=inputs, outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, again):
        gc.collect()
        return io.NodeOutput(ui={"alive": [sum(reference() is not None for reference in MADE)]})


class Extension(ComfyExtension):
    async def get_node_list(self):
        return [
            ProbeModel,
            ProbeStack,
            ProbeStacker,
            ProbeSplit,
            ProbeAlive,
            *memory_probes.NODES,
            *sampler_probes.NODES,
        ]


def comfy_entrypoint():
    return Extension()
