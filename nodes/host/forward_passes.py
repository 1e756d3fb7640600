"""Forward items of a run: foretold from the sampler, the conditionings and the MODEL's hooks, and counted."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isclose
from types import SimpleNamespace
from typing import Any

import comfy.sampler_helpers
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP

from ...intelligence.parameters import OptimizedParameters
from .model_guidance import Conditionings, extra_passes
from .sampler_calls import SamplerCalls

KEY = "intelligent_generation_count"


class Foreteller:
    """Forward items of one image, for any schedule and cutoff, with one MODEL and its conditionings."""

    def __init__(self, model: Any, positive: Any, negative: Any, latent: torch.Tensor) -> None:
        """`latent`: of one image or more, (batch, channels, …)."""
        self._model = model
        self._shape = (1, *latent.shape[1:])
        self._conds = _processed(model, {"positive": positive, "negative": negative}, latent.shape)
        self._always_guided = bool(model.model_options.get("disable_cfg1_optimization"))
        self._counts: dict[float, Conditionings] = {}

    def each_call(self, parameters: OptimizedParameters, calls: SamplerCalls, *, fewest: bool = True) -> list[int]:
        """Return the forward items of each call of the model; `fewest` decides where other packs' functions may add
        some."""
        return [self._at(parameters, sigma, calls.needs_negative, fewest=fewest) for sigma in calls.sigmas]

    def each_step(self, parameters: OptimizedParameters, sigmas: Sequence[float], calls: SamplerCalls) -> list[int]:
        """Return the forward items of each step on a schedule of steps + 1 `sigmas`, which the sampler that `calls` are
        of takes in as many calls."""
        counts = [after - before for before, after in pairwise((0, *calls.before_step))]
        levels = torch.tensor(sigmas[:-1], dtype=torch.float32)
        return [
            counts[min(step, len(counts) - 1)] * self._at(parameters, sigma, calls.needs_negative)
            for step, sigma in enumerate(levels)
        ]

    def _at(
        self, parameters: OptimizedParameters, sigma: torch.Tensor, needs_negative: bool, *, fewest: bool = True
    ) -> int:
        limits, forced = parameters.improvements, self._always_guided or needs_negative
        guided = forced or not limits.limits_guidance or limits.guides(float(sigma))
        cfg = parameters.guidance_scale if guided else 1.0
        active = self._active(sigma)
        negative = active.negative if forced or not isclose(cfg, 1.0) else 0
        options = _without_guidance(self._model, guided)
        extra = extra_passes(options, Conditionings(active.positive, negative), float(sigma))
        return active.positive + negative + (extra.fewest if fewest else extra.most)

    def items(self, parameters: OptimizedParameters, calls: SamplerCalls) -> tuple[int, int]:
        """Return the fewest and the most forward items of one image."""
        low, high = (self.each_call(parameters, calls, fewest=fewest) for fewest in (True, False))
        if calls.span is None:
            return sum(low), sum(high)
        fewest, most = calls.span
        return min(low) * fewest, max(high) * most

    def _active(self, sigma: torch.Tensor) -> Conditionings:
        """Count the conditionings at `sigma`, as `comfy.samplers._calc_cond_batch` does."""
        key = float(sigma)
        if key not in self._counts:
            self._counts[key] = _count(self._model, self._conds, torch.zeros(self._shape), sigma.reshape(1))
        return self._counts[key]


def _without_guidance(model: Any, guided: bool) -> Any:
    """MODEL's options as the guider passes them on: without the functions that combine predictions where it leaves the
    negative prompt out."""
    if guided:
        return model
    options = {name: value for name, value in model.model_options.items() if name != "sampler_cfg_function"}
    return SimpleNamespace(model_options=options)


def _processed(model: Any, conds: dict[str, Any], shape: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """Conditionings as `comfy.samplers.process_conds` leaves them, as far as they decide how many there are."""
    sampling = SimpleNamespace(model_sampling=model.get_model_object("model_sampling"))
    found = {name: comfy.sampler_helpers.convert_cond(each) for name, each in conds.items()}
    for each in found.values():
        comfy.samplers.resolve_areas_and_cond_masks_multidim(each, tuple(shape[2:]), torch.device("cpu"))
        comfy.samplers.calculate_start_end_timesteps(sampling, each)
    for name, each in found.items():
        for cond in each:
            for other_name, others in found.items():
                if other_name != name:
                    comfy.samplers.create_cond_with_same_area_if_none(others, cond)
    positive, negative = found["positive"], found["negative"]
    controlled = [cond for cond in positive if cond.get("control_apply_to_uncond") is True]
    comfy.samplers.apply_empty_x_to_equal_area(controlled, negative, "control", lambda those, x: those[x])
    comfy.samplers.apply_empty_x_to_equal_area(positive, negative, "gligen", lambda those, x: those[x])
    left_out = ("gligen", "hooks")
    return {
        name: [
            {key: value for key, value in cond.items() if key not in left_out} | {"model_conds": {}} for cond in each
        ]
        for name, each in found.items()
    }


def _count(model: Any, conds: dict[str, list[dict[str, Any]]], x: torch.Tensor, sigma: torch.Tensor) -> Conditionings:
    active: list[tuple[Any, int]] = []
    defaults: list[list[dict[str, Any]]] = []
    for index, each in enumerate(conds.values()):
        defaults.append([cond for cond in each if "default" in cond])
        areas = [comfy.samplers.get_area_and_mult(cond, x, sigma) for cond in each if "default" not in cond]
        active += [(area, index) for area in areas if area is not None]
    if any(defaults):
        to_run = {None: active} if active else {}
        comfy.samplers.finalize_default_conds(model.model, to_run, defaults, x, sigma, {})
        active = to_run.get(None, [])
    return Conditionings(*(sum(index == which for _, index in active) for which in (0, 1)))


@dataclass
class ForwardCounter:
    """Counter of the forward items of one run, which ComfyUI may compute in a thread for each device."""

    items: int = 0
    """Images × conditionings that the diffusion model computed."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _seen: threading.local = field(default_factory=threading.local, repr=False)

    def attach(self, options: dict[str, Any]) -> None:
        """Count through these model options.

        The diffusion model itself is wrapped, inside of everything that caches its outputs; where it takes no wrappers
        (SD3), the call of it counts.
        """
        wrappers = options.setdefault("transformer_options", {}).setdefault("wrappers", {})
        inner = {name: each for name, each in wrappers.get(WrappersMP.DIFFUSION_MODEL, {}).items() if name != KEY}
        wrappers[WrappersMP.DIFFUSION_MODEL] = {f"{KEY}_seen": [self._see], **inner, KEY: [self._count]}
        around = {name: each for name, each in wrappers.get(WrappersMP.APPLY_MODEL, {}).items() if name != KEY}
        wrappers[WrappersMP.APPLY_MODEL] = {**around, KEY: [self._count_unseen]}

    def _see(self, executor: Any, *args: Any, **kwargs: Any) -> Any:
        self._seen.here = True
        return executor(*args, **kwargs)

    def _count(self, executor: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        self._add(x)
        return executor(x, *args, **kwargs)

    def _count_unseen(self, executor: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        self._seen.here = False
        output = executor(x, *args, **kwargs)
        if not self._seen.here:
            self._add(x)
        return output

    def _add(self, x: Any) -> None:
        with self._lock:
            self.items += int(x[0].shape[0] if isinstance(x, list) else x.shape[0])
