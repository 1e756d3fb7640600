"""Scouting: several seeds are sampled for a few steps and shown; the picked one is resumed.

No sampler's inner state is kept. The model's predictions of the first steps are recorded. To resume a seed the sampler
starts anew and gets the recorded predictions: it rebuilds the same state (history, random generators) bit for bit,
with any sampler, and no forward item is computed twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ..parameters import OptimizedParameters
from ..parameters.second_pass import first_run
from ..records import Reason
from .stages import GenerationPlan

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

MAX_SEEDS = 64


def steps_to_scout(steps: int) -> int:
    """Return how many of `steps` are sampled with each seed: a quarter, rounded up."""
    return max(1, -(-steps // 4))


def scouted_settings(parameters: OptimizedParameters) -> OptimizedParameters:
    """Return the settings that the scouted steps depend on: those of the first pass, without what is predicted of the
    run, which other runs change as they are learned from."""
    return replace(
        first_run(parameters),
        estimated_time_seconds=None,
        time_interval_seconds=None,
        estimated_vram_gb=None,
        estimated_quality_score=0.5,
        confidence=0.5,
        decode_items=None,
        forward_items=None,
        forward_items_interval=None,
        reasons=(),
    )


@dataclass
class Recording:
    """The model's calls in the first steps of a run, in order: a few megabytes of RAM at 1024².

    A run that begins anew gets them in the model's place.
    """

    calls: list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]] = field(default_factory=list)
    """(noisy latents and noise level, predictions) of each call, on the CPU."""
    items: int = 0

    _played: int = field(default=0, repr=False)

    def add(self, inputs: tuple[Tensor, ...], predictions: tuple[Tensor, ...]) -> None:
        """Append a call that the model computed."""
        self.calls.append((_copied(inputs), _copied(predictions)))
        self._played = len(self.calls)

    def copy(self) -> Self:
        """Return a recording of the same calls, which goes on by itself."""
        return type(self)(list(self.calls), self.items)

    def rewind(self) -> None:
        """Begin anew with the first call."""
        self._played = 0

    def play(self, *inputs: Tensor) -> tuple[Tensor, ...] | None:
        """Return the next call's predictions, on the CPU; None where the model has to compute them.

        The calls from the first one with other inputs on are dropped.
        """
        import torch

        if self._played < len(self.calls):
            recorded, predictions = self.calls[self._played]
            if all(map(torch.equal, recorded, _copied(inputs))):
                self._played += 1
                return predictions
            del self.calls[self._played :]
        return None


class Ranking(NamedTuple):
    """Candidates in the order in which the user is expected to like them."""

    order: tuple[int, ...]
    """Places of the candidates, the first to finish first."""
    stars: tuple[float, ...]
    """Stars that are expected of each, beside the first that was tried; empty: ratings do not tell yet."""
    reason: Reason


@dataclass(frozen=True)
class Scouting:
    """Seeds of one plan, sampled for a quarter of the steps; `generate_from_scouting` finishes one of them."""

    plan: GenerationPlan = field(repr=False)
    seeds: tuple[int, ...]
    previews: tuple[Image, ...]
    """PIL, one per seed: the image as the model predicts it so far."""
    steps: int
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    """Sampling and decoding of the previews, without loading."""
    ranking: Ranking | None = field(default=None, repr=False)
    """Of the previews, by what is known of the user's taste."""
    recordings: tuple[Recording, ...] = field(default=(), repr=False)
    """For each seed; the picked one is resumed from its own."""
    start: tuple[Any, ...] = field(default=(), repr=False)
    """Inputs of the recordings other than the seed, at that time."""

    @property
    def forward_items(self) -> int:
        return sum(recording.items for recording in self.recordings)


def _copied(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().to("cpu", copy=True) for tensor in tensors)
