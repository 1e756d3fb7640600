"""Scouting on ComfyUI: what the model answers is taken down at the prediction for all conditionings, and kept with the
MODEL. See `intelligence.generation.scouting` for how a picked seed goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from comfy.patcher_extension import WrappersMP

from ...intelligence.generation import scouting
from ...intelligence.parameters import OptimizedParameters
from .guider import KEY

MEMO = "_intelligent_generation_scouts"
"""Attribute of the input MODEL that keeps what was scouted with it last; it goes when the MODEL goes."""


class Paused(Exception):
    """Ends a sampler's loop when enough steps were scouted."""

    def __init__(self, promise: torch.Tensor) -> None:
        super().__init__()
        self.promise = promise
        """The image as the model expects it to become, in its own scale of latents."""


class Recording(scouting.Recording):
    """The model's answers of one seed's first steps, with wrappers around the prediction for all conditionings."""

    def record(self, executor: Any, model: Any, conds: Any, x: Any, timestep: Any, options: Any) -> Any:
        """Keeps what comes."""
        predictions = executor(model, conds, x, timestep, options)
        self.keep((x, timestep), tuple(predictions))
        return predictions

    def replay(self) -> Any:
        """A wrapper that gives the recorded answers while the questions are the same, then asks the model."""
        play = self.player()

        def replayed(executor: Any, model: Any, conds: Any, x: Any, timestep: Any, options: Any) -> Any:
            answer = play(x, timestep)
            if answer is None:
                return executor(model, conds, x, timestep, options)
            return [each.to(x.device, copy=True) for each in answer]

        return replayed


@dataclass(frozen=True)
class Scouted:
    """What was scouted last with a MODEL."""

    inputs: tuple[Any, ...]
    """The very objects that the answers depend on: conditionings and latent."""
    settings: tuple[OptimizedParameters, float]
    """Parameters and denoise."""
    recordings: dict[int, Recording]
    """By seed."""
    steps: int
    """How many steps were sampled with each seed."""

    @property
    def forward_items(self) -> int:
        """Computed while scouting, all seeds."""
        return sum(recording.items for recording in self.recordings.values())

    def holds_for(self, inputs: tuple[Any, ...], settings: tuple[OptimizedParameters, float]) -> bool:
        """Whether a run with these would begin the same way."""
        return self.settings == settings and all(
            mine is theirs for mine, theirs in zip(self.inputs, inputs, strict=True)
        )


def keep(model: Any, scouted: Scouted) -> None:
    """Remember what was scouted with MODEL, in place of what was scouted before."""
    model.__dict__[MEMO] = scouted


def kept(model: Any, inputs: tuple[Any, ...], settings: tuple[OptimizedParameters, float]) -> Scouted | None:
    """What was scouted last with MODEL, if a run with these inputs goes on from it."""
    found: Scouted | None = model.__dict__.get(MEMO)
    return found if found is not None and found.holds_for(inputs, settings) else None


def attach(model: Any, wrapper: Any) -> None:
    """Put `record` or what `replay` gives around the predictions of a cloned MODEL."""
    model.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, KEY, wrapper)
