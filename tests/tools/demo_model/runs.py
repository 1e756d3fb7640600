"""A training run that can be cut off at any step and goes on by the same command.

Everything that the next step depends on (weights, moments, averages, step, processor time) is one file. Random numbers
of a step come from a generator seeded with that step, so that a run that was cut off repeats nothing.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .pictures import home

SAVE_EVERY = 300.0
"""Seconds of processor time."""


def parser_of(description: str | None, steps: int) -> argparse.ArgumentParser:
    """Return a parser of `--steps` (the whole stage, all its runs together) and `--run` (this run alone)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--steps", type=int, default=steps, help="steps of the stage in all")
    parser.add_argument("--run", type=float, default=120, help="processor minutes after which this run stops")
    return parser


class Average:
    """Exponential moving average of parameters, quicker at the start (Karras et al. 2022, `ema_halflife`)."""

    def __init__(self, parameters: dict[str, torch.Tensor], decay: float) -> None:
        self._live, self._decay = parameters, decay
        self.values = {name: value.detach().clone() for name, value in parameters.items()}

    def update(self, step: int) -> None:
        """Move towards the live parameters."""
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        names = list(self.values)
        torch._foreach_lerp_(
            [self.values[name] for name in names], [self._live[name].detach() for name in names], weight
        )


class Run:
    """A stage of training: named modules, one AdamW over all of them, an average of their weights."""

    def __init__(self, name: str, modules: dict[str, torch.nn.Module], rate: float, decay: float = 0.999) -> None:
        self.name, self.modules, self._rate = name, modules, rate
        self.path = home() / f"{name}.pt"
        self.parameters = {
            f"{module_name}/{key}": value
            for module_name, module in modules.items()
            for key, value in module.named_parameters()
            if value.requires_grad
        }
        self.average = Average(self.parameters, decay)
        matrices = [value for value in self.parameters.values() if value.ndim > 1]
        vectors = [value for value in self.parameters.values() if value.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), foreach=True)
        self.step, self.seconds = 0, 0.0
        if self.path.exists():
            self._load(torch.load(self.path, weights_only=True))

    def _load(self, state: dict[str, Any]) -> None:
        for key, value in state["weights"].items():
            self.parameters[key].data.copy_(value)
        for key, value in state["average"].items():
            self.average.values[key].copy_(value)
        if "optimizer" in state:
            self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the state beside the old one, then replace it."""
        beside = self.path.with_suffix(".tmp")
        state = {
            "weights": self.parameters,
            "average": self.average.values,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, beside)
        beside.replace(self.path)

    def use_average(self) -> None:
        """Put the averaged weights into the modules."""
        for key, value in self.average.values.items():
            self.parameters[key].data.copy_(value)

    def train(
        self,
        limits: argparse.Namespace,
        loss_of: Callable[[torch.Generator, float], torch.Tensor],
        watch: Callable[[], None],
    ) -> None:
        """Take steps until the stage has all of them, or this run has used its processor time.

        `loss_of(generator, progress)`: loss of a batch; progress 0 to 1. `watch()` is called after each save.
        """
        saved, shown, last = self.seconds, 0.0, self.seconds + limits.run * 60
        before = time.process_time()
        while self.step < limits.steps and self.seconds < last:
            progress = self.step / limits.steps
            warm = min(1.0, (self.step + 1) / min(200, 1 + limits.steps // 20))
            rate = self._rate * warm * (1.0 if progress < 0.7 else _decay(progress))
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            generator = torch.Generator().manual_seed(self.step)
            loss = loss_of(generator, progress)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), 1.0)
            self.optimizer.step()
            self.step += 1
            self.average.update(self.step)
            now = time.process_time()
            self.seconds += now - before
            before = now
            shown = loss.item() if shown == 0 else 0.98 * shown + 0.02 * loss.item()
            if self.step % 50 == 0:
                print(f"{self.name} {self.step}: {self.seconds:.0f} s, loss {shown:.4f}", flush=True)
            if self.seconds - saved > SAVE_EVERY:
                saved = self.seconds
                self.save()
                watch()
                before = time.process_time()
        self.save()


def _decay(progress: float) -> float:
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - 0.7) / 0.3))


def path_of(name: str) -> Path:
    """Return where a stage's result lies."""
    return home() / name
