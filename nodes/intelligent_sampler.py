"""IntelligentSampler: plan → images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import folder_paths
from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.utils import get_executing_context
from server import PromptServer

from ..intelligence.config import AUTO, MAX_SEED, SecondPassUse
from .host.server_planner import planner
from .host.told_paths import errors_without_folders
from .node_schema import ADVANCED, GenerationType, PlanType, schema, shown_as

if TYPE_CHECKING:
    from ..intelligence.generation.stages import GenerationPlan
    from .host.scout_hooks import Scouted

AS_PLANNED = -1.0

SWITCHES = (
    ("cfg_cutoff", 1000.0, "Guidance is off at this sigma and below, which halves the work there; 0: never off."),
    ("cfg_start", 1000.0, "Guidance is off above this sigma; 0: on from the start."),
    ("rescale_cfg", 1.0, "RescaleCFG multiplier, for v-prediction models; 0: off."),
    ("easycache", 3.0, "Reuse threshold of ComfyUI's EasyCache, which skips steps that change little; 0: off."),
)
"""Widgets that override the plan's improvements: name, highest value, tooltip."""


def _switch(name: str, highest: float, tooltip: str) -> Any:
    return io.Float.Input(
        name,
        default=AS_PLANNED,
        min=AS_PLANNED,
        max=highest,
        step=0.01,
        optional=True,
        tooltip=f"{tooltip} -1: as planned.",
        **shown_as(AUTO, AS_PLANNED),
        **ADVANCED,
    )


class IntelligentSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="IntelligentSampler",
            display_name="Intelligent Sampler",
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
                    tooltip="On: image 2 is what seed + 1 gives alone, and so on. Off, or with a `latent`: the whole "
                    "batch's noise comes from one seed, as in KSampler.",
                    **ADVANCED,
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
                    tooltip="How much of `latent` is replaced; 1: all of it.",
                    **ADVANCED,
                ),
                *(_switch(*row) for row in SWITCHES),
                io.Boolean.Input(
                    "one_pass",
                    default=False,
                    optional=True,
                    tooltip="Several images share a forward pass: faster on a graphics card. They equal their single "
                    "runs except for rounding. Only with samplers that draw no noise; others run one by one.",
                    **ADVANCED,
                ),
                io.Int.Input(
                    "scout",
                    default=0,
                    min=0,
                    max=64,
                    optional=True,
                    tooltip="Try this many seeds for a quarter of the steps and show them; then set `pick`. 0: off.",
                    **shown_as("off"),
                    **ADVANCED,
                ),
                io.Int.Input(
                    "pick",
                    default=0,
                    min=0,
                    max=64,
                    optional=True,
                    tooltip="Number of the scouted seed to finish, from 1; its steps are not repeated. 0: only look.",
                    **shown_as("only look"),
                    **ADVANCED,
                ),
                io.Boolean.Input(
                    "hold_time_limit",
                    default=True,
                    optional=True,
                    tooltip="Where the plan has a time budget: if the run will be late, guidance ends earlier, then "
                    "the remaining steps become fewer. Off: it is only told.",
                    **ADVANCED,
                ),
                io.Combo.Input(
                    "second_pass",
                    options=list(SecondPassUse),
                    default=SecondPassUse.AUTO,
                    optional=True,
                    tooltip="Paint at a size that the model was trained for, enlarge, and sample again. auto: where "
                    "the planned size is larger than that. on: always; a smaller picture gets 1.5 times its sides.",
                    **ADVANCED,
                ),
                io.Int.Input(
                    "best_of",
                    default=0,
                    min=0,
                    max=64,
                    optional=True,
                    tooltip="Try this many seeds for a quarter of the steps, and finish the one that you will like "
                    "best by your ratings: the first, until these tell. 0: off.",
                    **shown_as("off"),
                    **ADVANCED,
                ),
                io.Combo.Input(
                    "upscaler",
                    options=[AUTO, "latent", *folder_paths.get_filename_list("upscale_models")],
                    default=AUTO,
                    optional=True,
                    tooltip="Enlarges the first picture for the second pass: the latent itself, or an upscale model. "
                    "auto: a model of yours that is known for this kind of picture, else the latent.",
                    **ADVANCED,
                ),
                io.Boolean.Input(
                    "repair",
                    default=True,
                    optional=True,
                    tooltip="Find images that decode to not-a-number or to one colour, and decode those on which the "
                    "VAE overflows again in float32. Off: images are taken as they come.",
                    **ADVANCED,
                ),
                io.Boolean.Input(
                    "seam_check",
                    default=True,
                    optional=True,
                    tooltip="Search images that were decoded in tiles for the tiles' edges and for tiles of another "
                    "colour.",
                    **ADVANCED,
                ),
            ],
            outputs=[
                io.Image.Output("IMAGE"),
                io.Latent.Output("LATENT"),
                GenerationType.Output("generation", tooltip="For Explain, Feedback and Save Generation."),
            ],
        )

    @classmethod
    @errors_without_folders()
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
        hold_time_limit: bool = True,
        second_pass: str = SecondPassUse.AUTO,
        best_of: int = 0,
        upscaler: str = AUTO,
        repair: bool = True,
        seam_check: bool = True,
    ) -> io.NodeOutput:
        from ..intelligence.generation.noticing import note_act
        from ..intelligence.generation.postprocess.steps import switched_off
        from ..intelligence.generation.run import run_plan
        from ..intelligence.generation.sampling_request import SamplingRequest, Switches, Task
        from ..intelligence.learning.observations import Evidence
        from .host import thumbnails
        from .host.comfy_host import ComfyHost, fitted_run
        from .host.model_settings import settled
        from .host.sampler_run import SamplerInputs

        values = (cfg_cutoff, cfg_start, rescale_cfg, easycache)
        switches = Switches(*(None if value < 0 else value for value in values))
        request = SamplingRequest(
            *(seed, seeds_per_image, one_pass, scout, pick, switches, hold_time_limit),
            second_pass=SecondPassUse(second_pass),
            best_of=best_of,
            upscaler=upscaler,
        )
        plan, model, notes = settled(plan, model, positive)
        inputs = SamplerInputs(model, positive, negative, vae, latent, denoise)
        run = fitted_run(plan, request, inputs)
        off = switched_off(repair=repair, seam_check=seam_check)
        run = replace(run, plan=run.plan.without(off), notes=(*notes, *run.notes))
        context = get_executing_context()
        node_id = context.node_id if context else ""
        host = ComfyHost.of_run(run, inputs, lambda text: PromptServer.instance.send_progress_text(text, node_id))
        if run.task is Task.SCOUT:
            return _scouted(run.seeds, *host.scout())
        if run.task is Task.BEST:
            host = host.with_best(best_of, planner().taste())
            run = host.run
        run_id = context.prompt_id if context else ""
        used_files = planner().used_files
        found = used_files.start(run.plan)
        execution, generation = run_plan(host, run.plan, run.seeds, planner().learning, run_id=run_id)
        generation = used_files.told(generation, found)
        if run.task is Task.RESUME:
            looks = host.scouted_looks or (None,) * scout
            note_act(planner().learning, generation.image_ids[0], Evidence.SCOUTED, pick - 1, looks)
        thumbnails.save(generation.image_ids, execution.images)
        return io.NodeOutput(execution.images, execution.extra["latent"], generation)


def _scouted(seeds: Sequence[int], images: Any, scouted: Scouted) -> io.NodeOutput:
    """Return an output that shows the scouted images and blocks the nodes behind it."""
    from ..intelligence.generation.generation_messages import GenerationMessage

    shown = {
        **ui.PreviewImage(images).as_dict(),
        "text": [GenerationMessage.SCOUTED.format(seeds=len(seeds), steps=scouted.steps)],
        "scouted": [{"pick": number, "seed": seed} for number, seed in enumerate(seeds, 1)],
        "forward_items": [scouted.forward_items],
    }
    return io.NodeOutput(*[ExecutionBlocker(None)] * 3, ui=shown)
