"""IntelligentSampler: plan → images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.utils import get_executing_context
from server import PromptServer

from ..intelligence.config import MAX_SEED, require
from .host.server_planner import planner
from .node_schema import CATEGORY, GenerationType, PlanType, advanced, schema

if TYPE_CHECKING:
    from ..intelligence.generation.stages import GenerationPlan
    from .host.comfy_host import ComfyHost

AS_PLANNED = -1.0

SWITCHES = (
    ("cfg_cutoff", 1000.0, "Guidance is off at this sigma and below, which halves the work there; 0: never off."),
    ("cfg_start", 1000.0, "Guidance is off above this sigma; 0: on from the start."),
    ("rescale_cfg", 1.0, "RescaleCFG multiplier, for v-prediction models; 0: off."),
    ("easycache", 3.0, "Reuse threshold of ComfyUI's EasyCache, which skips steps that change little; 0: off."),
)
"""Widgets that override the plan's improvements: name, highest value, what it does."""


def _switch(name: str, highest: float, what: str) -> Any:
    return io.Float.Input(
        name,
        default=AS_PLANNED,
        min=AS_PLANNED,
        max=highest,
        step=0.01,
        optional=True,
        tooltip=f"{what} -1: as planned.",
        **advanced(),
    )


class IntelligentSampler(io.ComfyNode):
    """Samples and decodes by the plan, with ComfyUI's own samplers."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="IntelligentSampler",
            display_name="Intelligent Sampler",
            category=CATEGORY,
            description="Samples and decodes by the plan. At equal settings the image equals the core KSampler's.",
            search_aliases=["sampler", "ksampler", "generate", "txt2img", "intelligent"],
            inputs=[
                io.Model.Input("model", tooltip="From Memory Plan."),
                io.Conditioning.Input("positive", tooltip="The encoded prompt."),
                io.Conditioning.Input("negative", tooltip="The encoded negative prompt."),
                io.Vae.Input("vae", tooltip="Decodes the images."),
                PlanType.Input("plan", tooltip="From Memory Plan."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Seed of the first image.",
                ),
                io.Boolean.Input(
                    "seeds_per_image",
                    default=True,
                    tooltip="On: image 2 is what seed + 1 gives alone, and so on. Off: the whole batch's noise comes "
                    "from one seed, as in KSampler. A `latent` always does as in KSampler.",
                    **advanced(),
                ),
                io.Latent.Input(
                    "latent", optional=True, tooltip="Start from this (image to image, inpainting) instead of noise."
                ),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="How much of `latent` is made anew; 1: all of it.",
                ),
                *(_switch(*row) for row in SWITCHES),
                io.Boolean.Input(
                    "one_pass",
                    default=False,
                    optional=True,
                    tooltip="Several images share a forward pass: faster on a graphics card. They equal their single "
                    "runs but for rounding, and only with samplers that draw no noise; others still run one by one.",
                    **advanced(),
                ),
                io.Int.Input(
                    "scout",
                    default=0,
                    min=0,
                    max=64,
                    optional=True,
                    tooltip="Try this many seeds for a quarter of the steps and show them; then set `pick`. 0: off.",
                    **advanced(),
                ),
                io.Int.Input(
                    "pick",
                    default=0,
                    min=0,
                    max=64,
                    optional=True,
                    tooltip="Which scouted seed goes on, from 1; steps already made are not repeated. 0: only look.",
                    **advanced(),
                ),
            ],
            outputs=[
                io.Image.Output("IMAGE"),
                io.Latent.Output("LATENT"),
                GenerationType.Output("generation", tooltip="The story so far, for Explain, Feedback and Save."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        negative: Any,
        vae: Any,
        plan: GenerationPlan,
        seed: int,
        seeds_per_image: bool,
        latent: dict[str, Any] | None = None,
        denoise: float = 1.0,
        cfg_cutoff: float = AS_PLANNED,
        cfg_start: float = AS_PLANNED,
        rescale_cfg: float = AS_PLANNED,
        easycache: float = AS_PLANNED,
        one_pass: bool = False,
        scout: int = 0,
        pick: int = 0,
    ) -> io.NodeOutput:
        from ..intelligence.generation.batch import seeds_from
        from ..intelligence.generation.run import run_plan
        from .host.comfy_host import ComfyHost, forward_items
        from .host.guider import has_easycache

        require(pick <= scout, f"`pick` is {pick}, but only {scout} seeds are scouted")
        images = 1 if scout else plan.parameters.batch_size
        planned, resized = plan, False
        if latent is not None:
            images = latent["samples"].shape[0]
            require(images == 1 or not scout, f"one latent can be scouted at a time, not a batch of {images}")
            height, width = (side * vae.spacial_compression_decode() for side in latent["samples"].shape[-2:])
            resized = (width, height) != (plan.parameters.width, plan.parameters.height)
            plan = plan.changed(width=width, height=height)
        plan = _switched(plan, has_easycache(model), cfg_cutoff, cfg_start, rescale_cfg, easycache)
        if plan is not planned or scout or plan.parameters.forward_items is None:
            plan = plan.changed(forward_items=forward_items(model, plan.parameters, denoise, images))
        context = get_executing_context()
        node_id = context.node_id if context else ""
        host = ComfyHost(
            *(model, positive, negative, vae, latent, denoise),
            batch_seed=None if seeds_per_image and latent is None else seed,
            one_pass=one_pass,
            tell=lambda text: PromptServer.instance.send_progress_text(text, node_id),
        )
        plan = host.fitted(plan, images, resized)
        seeds = seeds_from(seed, images) if host.batch_seed is None else [seed] * images
        if scout:
            tried = seeds_from(seed, scout)
            if not pick:
                return _look(host, plan, tried)
            seeds = [tried[pick - 1]]
            host = _going_on(host, plan, seeds[0])
        execution, generation = run_plan(
            host,
            plan,
            seeds,
            planner().learning,
            run_id=context.prompt_id if context else "",
            denoise=denoise,
        )
        return io.NodeOutput(execution.images, execution.extra["latent"], generation)


def _switched(
    plan: GenerationPlan, cached: bool, cfg_cutoff: float, cfg_start: float, rescale_cfg: float, easycache: float
) -> GenerationPlan:
    """The plan with its improvements as the widgets have them; the plan itself when they leave all as planned.

    `cached`: EasyCache is on the MODEL already.
    """
    from ..intelligence.parameters import Improvements

    parameters = plan.parameters
    planned = parameters.improvements
    if cached or easycache > 0:  # asked for by name: what the plan does to guidance gives way
        planned = Improvements()
    wanted = Improvements(
        cfg_cutoff_sigma=cfg_cutoff if cfg_cutoff >= 0 else planned.cfg_cutoff_sigma,
        cfg_start_sigma=(cfg_start or None) if cfg_start >= 0 else planned.cfg_start_sigma,
        easycache=easycache if easycache >= 0 else planned.easycache,
    )
    rescale_cfg = rescale_cfg if rescale_cfg >= 0 else parameters.rescale_cfg
    if wanted == parameters.improvements and rescale_cfg == parameters.rescale_cfg:
        return plan
    return plan.changed(improvements=wanted, rescale_cfg=rescale_cfg)


def _look(host: ComfyHost, plan: GenerationPlan, seeds: list[int]) -> io.NodeOutput:
    """Scout, and show what was found; nothing goes on to the other nodes."""
    images, scouted = host.scout(plan, seeds)
    text = f"{len(seeds)} seeds, {scouted.steps} steps each, {scouted.forward_items} forward items. Set `pick`."
    shown = {
        **ui.PreviewImage(images).as_dict(),
        "text": [text],
        "scouted": [{"pick": number, "seed": seed} for number, seed in enumerate(seeds, 1)],
        "forward_items": [scouted.forward_items],
    }
    return io.NodeOutput(*[ExecutionBlocker(None)] * 3, ui=shown)


def _going_on(host: ComfyHost, plan: GenerationPlan, seed: int) -> ComfyHost:
    """`host`, to go on with the picked seed from where it was scouted, if that is still there."""
    from ..intelligence.generation.scouting import resume_note

    scouted = host.scouted(plan)
    recording = scouted.recordings.get(seed) if scouted else None
    if scouted is None or recording is None:
        return replace(
            host, batch_seed=None, notes=("nothing scouted is kept for these inputs: sampled from the start",)
        )
    note = resume_note(len(scouted.recordings), scouted.forward_items, scouted.steps, recording.items)
    return replace(host, batch_seed=None, recording=recording, notes=(note,))
