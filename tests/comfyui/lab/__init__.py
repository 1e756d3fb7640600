"""A pack of test nodes, linked beside ours: tiny random models of many classes, and a sampler and a scheduler that a
pack registers."""

from __future__ import annotations

import comfy.k_diffusion.sampling
import comfy.samplers
from comfy_api.latest import ComfyExtension

from . import lab_inputs, lab_models

FOREIGN_SAMPLER, FOREIGN_SCHEDULER = "lab_heun", "lab_beta57"
"""Heun's method and a beta schedule, under names that core does not have."""


def _register():
    comfy.k_diffusion.sampling.sample_lab_heun = comfy.k_diffusion.sampling.sample_heun
    handler = comfy.samplers.SchedulerHandler(
        lambda sampling, steps: comfy.samplers.beta_scheduler(sampling, steps, alpha=0.5, beta=0.7)
    )
    comfy.samplers.SCHEDULER_HANDLERS[FOREIGN_SCHEDULER] = handler
    samplers, schedulers = comfy.samplers.KSampler.SAMPLERS, comfy.samplers.KSampler.SCHEDULERS
    for names, name in ((samplers, FOREIGN_SAMPLER), (schedulers, FOREIGN_SCHEDULER)):
        if name not in names:
            names.append(name)


_register()


class Extension(ComfyExtension):
    async def get_node_list(self):
        return [*lab_models.NODES, *lab_inputs.NODES]


def comfy_entrypoint():
    return Extension()
