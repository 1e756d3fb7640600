"""Scouting: seeds are sampled for a few steps and looked at; the picked one goes on from there.

No sampler's inner state is kept. The model's answers of the first steps are recorded, and when a seed goes on, the
sampler starts anew and is given them again: it builds up the same state (history, random generators) to the last bit,
whatever sampler it is, and no forward pass is repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .generation_messages import GenerationMessage
from .stages import GenerationPlan

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

SHARE = 4
"""A quarter of the steps is scouted."""

MAX_SEEDS = 64

Player = Callable[..., "tuple[Tensor, ...] | None"]
"""Question (tensors) → the recorded answer, on the CPU; None: the model has to be asked."""


def steps_to_scout(steps: int) -> int:
    """How many of `steps` are sampled with each seed."""
    return max(1, -(-steps // SHARE))


@dataclass(frozen=True)
class Answer:
    """One call of the model: what it was asked and what it said, on the CPU."""

    question: tuple[Tensor, ...]
    """What changes from call to call: noisy latents and noise level."""
    predictions: tuple[Tensor, ...]


@dataclass
class Recording:
    """The model's answers of one seed's first steps, in order: a few megabytes of RAM at 1024²."""

    answers: list[Answer] = field(default_factory=list)
    items: int = 0
    """Forward items that they took."""

    def keep(self, question: tuple[Tensor, ...], predictions: tuple[Tensor, ...]) -> None:
        """Add the next answer, as it is now."""
        self.answers.append(Answer(_copied(question), _copied(predictions)))

    def player(self) -> Player:
        """Gives the recorded answers in order while the questions are the same; None from the first other one on."""
        import torch

        left = iter(self.answers)

        def play(*question: Tensor) -> tuple[Tensor, ...] | None:
            nonlocal left
            answer = next(left, None)
            if answer is not None and all(map(torch.equal, answer.question, _copied(question))):
                return answer.predictions
            left = iter(())
            return None

        return play


@dataclass(frozen=True)
class Scouting:
    """Seeds of one plan, sampled for a quarter of the steps; `generate_from_scouting` goes on with one of them."""

    plan: GenerationPlan = field(repr=False)
    """What the picked seed will be sampled by."""
    seeds: tuple[int, ...]
    previews: tuple[Image, ...]
    """PIL, one per seed: what the model expects the image to become."""
    steps: int
    """How many steps were sampled with each seed."""
    notes: tuple[str, ...] = ()
    """What is to be known of the previews, such as one that is broken."""
    recordings: tuple[Recording, ...] = field(default=(), repr=False)
    """One per seed: what the picked one goes on from."""
    start: tuple[Any, ...] = field(default=(), repr=False)
    """What the recordings depend on, as it was."""

    @property
    def forward_items(self) -> int:
        """Computed while scouting, all seeds."""
        return sum(recording.items for recording in self.recordings)


def resume_note(seeds: int, spent: int, step: int, kept: int) -> str:
    """Return the note of a resumed image.

    Args:
        seeds: how many were scouted.
        spent: forward items that they took.
        step: the last one that was scouted.
        kept: forward items of the picked seed.
    """
    return GenerationMessage.RESUMED.format(seeds=seeds, spent=spent, step=step, kept=kept)


def _copied(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().to("cpu", copy=True) for tensor in tensors)
