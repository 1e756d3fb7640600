"""Scouting in ComfyUI: records the model's predictions and keeps them with the MODEL.

See `intelligence.generation.scouting` for how a picked seed resumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...intelligence.generation import scouting
from ...intelligence.parameters import OptimizedParameters
from ...intelligence.pictures.look import Look

SCOUTED_ATTRIBUTE = "_intelligent_generation_scouts"
"""Attribute of the input MODEL with the last scouting; it is freed with the MODEL."""


class Changed(Exception):
    """Ends a sampler's loop whose schedule or settings have changed, so that it begins anew."""


class Paused(Exception):
    """Ends a sampler's loop after the steps to scout."""

    def __init__(self, predicted: torch.Tensor) -> None:
        super().__init__()
        self.predicted = predicted
        """The final latents as the model predicts them, in its own scale."""


class Recording(scouting.Recording):
    """Predictions of a run's first steps, recorded and replayed around the prediction for all conditionings."""

    def wrap(self, executor: Any, model: Any, conds: Any, x: Any, timestep: Any, options: Any) -> Any:
        """Wrap the model: give the recorded predictions while the inputs are equal, then record the model's."""
        predictions = self.play(x, timestep)
        if predictions is not None:
            return [each.to(x.device, copy=True) for each in predictions]
        computed = executor(model, conds, x, timestep, options)
        self.add((x, timestep), tuple(computed))
        return computed


@dataclass(frozen=True)
class Scouted:
    """The last scouting with a MODEL."""

    inputs: tuple[Any, ...]
    """The very objects that the predictions depend on: conditionings and latent."""
    settings: tuple[OptimizedParameters, float]
    """Parameters by `scouted_settings`, and denoise."""
    recordings: dict[int, Recording]
    """Seed → its recording."""
    steps: int
    """Sampled with each seed."""
    seconds: float = 0.0
    """Sampling and decoding of all previews, without loading."""
    looks: tuple[Look | None, ...] = ()
    """Of the previews; None: not known, as of a video's."""

    @property
    def forward_items(self) -> int:
        """Forward items computed for all seeds."""
        return sum(recording.items for recording in self.recordings.values())


def keep(model: Any, scouted: Scouted) -> None:
    """Keep a scouting with MODEL, in place of an earlier one."""
    model.__dict__[SCOUTED_ATTRIBUTE] = scouted


def kept(model: Any, inputs: tuple[Any, ...], settings: tuple[OptimizedParameters, float]) -> Scouted | None:
    """Return the last scouting with MODEL, if a run with these inputs can resume it."""
    found: Scouted | None = model.__dict__.get(SCOUTED_ATTRIBUTE)
    if found is None or found.settings != settings:
        return None
    return found if all(own is other for own, other in zip(found.inputs, inputs, strict=True)) else None
