"""Carries a plan out with ComfyUI's own samplers: what KSampler would do at the same settings, bit for bit."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch

from ...intelligence.generation.host import Execution, OnStep
from ...intelligence.generation.story import GenerationPlan
from ...intelligence.memory import MemoryManager
from ...intelligence.parameters import OptimizedParameters


def sigmas(model: Any, parameters: OptimizedParameters, denoise: float = 1.0) -> torch.Tensor:
    """The schedule that will be sampled: float32 on the CPU, descending to 0."""
    if parameters.sigmas is None:
        return _sampler(model, parameters, denoise).sigmas.cpu()
    steps = round(parameters.num_steps * denoise)
    return torch.tensor(parameters.sigmas, dtype=torch.float32)[-(steps + 1) :]


def _sampler(model: Any, parameters: OptimizedParameters, denoise: float) -> Any:
    return comfy.samplers.KSampler(
        model,
        steps=parameters.num_steps,
        device=model.load_device,
        sampler=parameters.sampler_name,
        scheduler=parameters.scheduler,
        denoise=denoise,
        model_options=model.model_options,
    )


@dataclass(frozen=True)
class ComfyHost:
    """One IntelligentSampler's inputs, ready to carry a plan out."""

    model: Any
    positive: Any
    negative: Any
    vae: Any
    latent: dict[str, Any] | None = None
    """LATENT to start from; None: an empty one of the plan's size."""
    denoise: float = 1.0
    batch_seed: int | None = None
    """Draw the whole batch's noise from this one seed, as KSampler does; None: each image's from its own seed."""

    name = "comfyui"

    def execute(self, plan: GenerationPlan, seeds: Sequence[int], on_step: OnStep | None = None) -> Execution:
        """See `Host`. `extra["latent"]` is the LATENT of all images; `images` is an IMAGE tensor."""
        parameters = plan.parameters
        latent = self.latent or self._empty(parameters, len(seeds))
        samples = comfy.sample.fix_empty_latent_channels(
            self.model,
            latent["samples"],
            *(latent[key] for key in ("downscale_ratio_spacial", "downscale_ratio_temporal") if key in latent),
        )
        model = self._rescaled(parameters)
        started = time.perf_counter()
        step_times: list[float] = []
        sampled = []
        noise = self._noise(latent, samples, seeds)
        size = max(1, plan.memory.batch_size)
        with MemoryManager().track_usage() as usage:
            for first in range(0, len(seeds), size):
                chunk = slice(first, first + size)
                callback = self._callback(parameters, first // size, -(-len(seeds) // size), step_times, on_step)
                sampled.append(
                    comfy.sample.sample(
                        model,
                        noise[chunk],
                        parameters.num_steps,
                        parameters.guidance_scale,
                        parameters.sampler_name,
                        parameters.scheduler,
                        self.positive,
                        self.negative,
                        samples[chunk],
                        denoise=self.denoise,
                        sigmas=None if parameters.sigmas is None else sigmas(model, parameters, self.denoise),
                        noise_mask=_rows(latent.get("noise_mask"), chunk),
                        callback=callback,
                        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
                        seed=seeds[first],
                    )
                )
            result = {**latent, "samples": torch.cat(sampled)}
            for key in ("downscale_ratio_spacial", "downscale_ratio_temporal"):
                result.pop(key, None)
            images = self._decode(result, plan.memory.tile_size)
        return Execution(
            images=images,
            seconds=time.perf_counter() - started,
            seconds_per_step=statistics.median(step_times) if step_times else None,
            peak_vram_gb=usage.peak_vram_gb,
            extra={"latent": result},
        )

    def _empty(self, parameters: OptimizedParameters, count: int) -> dict[str, Any]:
        import nodes as core

        return core.EmptyLatentImage().generate(parameters.width, parameters.height, count)[0]

    def _noise(self, latent: dict[str, Any], samples: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        if self.batch_seed is not None or "batch_index" in latent:
            seed = seeds[0] if self.batch_seed is None else self.batch_seed
            return comfy.sample.prepare_noise(samples, seed, latent.get("batch_index"))
        each = [comfy.sample.prepare_noise(samples[i : i + 1], seed) for i, seed in enumerate(seeds)]
        return torch.cat(each)

    def _rescaled(self, parameters: OptimizedParameters) -> Any:
        if not parameters.rescale_cfg:
            return self.model
        from comfy_extras.nodes_model_advanced import RescaleCFG

        return RescaleCFG().patch(self.model, parameters.rescale_cfg)[0]

    def _callback(
        self,
        parameters: OptimizedParameters,
        batch: int,
        batches: int,
        step_times: list[float],
        on_step: OnStep | None,
    ) -> Any:
        preview = latent_preview.prepare_callback(self.model, parameters.num_steps)
        last: list[float] = []

        def callback(step: int, x0: Any, x: Any, total_steps: int) -> None:
            now = time.perf_counter()
            if last:
                step_times.append(now - last[0])
            last[:] = [now]
            preview(step, x0, x, total_steps)
            if on_step:
                on_step(batch * total_steps + step + 1, batches * total_steps)

        return callback

    def _decode(self, latent: dict[str, Any], tile_size: int) -> torch.Tensor:
        import nodes as core

        if tile_size:
            return core.VAEDecodeTiled().decode(self.vae, latent, tile_size)[0]
        return core.VAEDecode().decode(self.vae, latent)[0]


def _rows(mask: torch.Tensor | None, chunk: slice) -> torch.Tensor | None:
    """The mask's rows for a chunk of the batch; a mask of one row serves all images."""
    return mask if mask is None or mask.shape[0] == 1 else mask[chunk]
