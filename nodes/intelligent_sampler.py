"""IntelligentSampler: plan → images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io
from comfy_execution.utils import get_executing_context

from ..intelligence.config import MAX_SEED
from .host.library import planner
from .types import CATEGORY, GenerationType, PlanType, advanced, schema

if TYPE_CHECKING:
    from ..intelligence.generation.story import GenerationPlan


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
                    "from one seed, as in KSampler.",
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
    ) -> io.NodeOutput:
        from ..intelligence.generation.batch import seeds_from
        from ..intelligence.generation.run import carry_out
        from .host.sampling import ComfyHost

        images = plan.parameters.batch_size
        if latent is not None:
            images = latent["samples"].shape[0]
            height, width = (side * vae.spacial_compression_decode() for side in latent["samples"].shape[-2:])
            plan = plan.sized(width, height)
        context = get_executing_context()
        host = ComfyHost(model, positive, negative, vae, latent, denoise, None if seeds_per_image else seed)
        execution, generation = carry_out(
            host,
            plan,
            seeds_from(seed, images) if seeds_per_image else [seed] * images,
            planner().learning,
            run_id=context.prompt_id if context else "",
            denoise=denoise,
        )
        return io.NodeOutput(execution.images, execution.extra["latent"], generation)
