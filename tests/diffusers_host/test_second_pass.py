"""The second pass with diffusers: equal to its own image-to-image pipeline, counted, and held to a time limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from intelligence.generation.diffusers_host import DiffusersHost
from intelligence.generation.diffusers_host.denoising import call_arguments
from intelligence.generation.diffusers_host.scheduling import make_scheduler, trained_sigmas
from intelligence.generation.run_timer import all_items
from intelligence.parameters.parameters import SecondPass
from intelligence.parameters.second_pass import first_run, second_run, second_sigmas

from .test_host import make, pixels, plan

SECOND = SecondPass(128, 128, steps=3, denoise=0.5)
SIZE = {"width": 192, "height": 192}


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "euler_ancestral", "lcm"])
def test_second_pass_equals_image_to_image_of_diffusers(host: DiffusersHost, sampler: str) -> None:
    from diffusers import StableDiffusionXLImg2ImgPipeline

    wanted = plan(**SIZE, num_steps=5, sampler_name=sampler, second_pass=SECOND)
    (ours,) = host.execute(wanted, [11]).images
    pipe = host._pipe

    def call(pipe: Any, **arguments: Any) -> Any:
        noise = torch.Generator("cpu").manual_seed(11)
        return pipe(**arguments, generator=noise, output_type="latent").images

    arguments = call_arguments(pipe, wanted) | {"width": 128, "height": 128}
    pipe.scheduler, _ = make_scheduler(pipe.scheduler.config, first_run(wanted.parameters))
    first = call(pipe, **arguments)
    settings = second_run(wanted.parameters)
    sigmas = second_sigmas(settings, SECOND.denoise, trained_sigmas(pipe.scheduler.config))
    settings.sigmas = sigmas
    scheduler, _ = make_scheduler(pipe.scheduler.config, settings)
    again = StableDiffusionXLImg2ImgPipeline(**{**pipe.components, "scheduler": scheduler})
    enlarged = torch.nn.functional.interpolate(first, (24, 24), mode="bilinear")
    sizes = {name: (192, 192) for name in ("original_size", "target_size")}
    given = {name: value for name, value in arguments.items() if name not in ("width", "height")}
    given |= {"num_inference_steps": len(scheduler.timesteps) or 3, "image": enlarged, "strength": 1.0, **sizes}
    latents = call(again, **given)
    image = again.vae.decode(latents / again.vae.config.scaling_factor, return_dict=False)[0]
    (theirs,) = again.image_processor.postprocess(image.detach(), output_type="pil")
    # The pipeline multiplies by a factor that was divided by before: rounding, which noise of later steps carries on.
    assert np.abs(pixels(ours) - pixels(theirs)).max() <= 1


def test_second_pass_counts_what_is_predicted(host: DiffusersHost) -> None:
    wanted = plan(**SIZE, num_steps=6, second_pass=SECOND)
    steps: list[tuple[int, int]] = []
    ran = host.execute(wanted, [1, 2], lambda done, total: steps.append((done, total)))
    assert ran.forward_items == 2 * all_items(wanted.parameters) == 2 * 2 * (6 + 3)
    assert ran.first_pass is not None
    assert ran.first_pass.forward_items == 2 * 2 * 6
    assert 0 < ran.first_pass.seconds < ran.seconds
    assert steps == [(done, 18) for done in range(1, 19)]
    assert ran.images[0].size == (192, 192)


def test_late_second_pass_is_changed_and_its_record_repeats_it(host: DiffusersHost) -> None:
    second = SecondPass(128, 128, steps=10, denoise=0.5)
    limits = {"max_time_seconds": 0.001, "gives_way": ("guidance", "steps")}
    late = plan(**SIZE, num_steps=12, second_pass=second, **limits)
    ran = host.execute(late, [5])
    (settings,) = ran.ran
    assert settings.num_steps == 8
    assert settings.second_pass is not None
    assert settings.second_pass.steps == 8
    assert settings.forward_items == ran.forward_items
    assert np.array_equal(make(host, late.with_parameters(settings), 5)[0], pixels(ran.images[0]))


def test_scouted_seed_of_two_passes_is_finished(host: DiffusersHost) -> None:
    wanted = plan(**SIZE, num_steps=4, second_pass=SECOND)
    scouting = host.scout(wanted, [3, 4])
    assert scouting.previews[0].size == (128, 128)
    finished = host.resume(scouting, 1).execute(wanted, [4])
    assert np.array_equal(pixels(finished.images[0]), make(host, wanted, 4)[0])
