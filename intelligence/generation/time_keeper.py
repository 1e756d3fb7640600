"""Holds a time limit in flight: changes the rest of a run that will be late, from where it stands.

Guidance ends earlier first, in the second half of the steps, where leaving it out changes little [Adaptive Guidance,
arXiv 2312.12487]. Then the remaining noise levels are spread over fewer steps. Levels that were passed stay, so that a
run of the changed settings alone takes the same way, bit for bit, without a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..parameters import OptimizedParameters
from ..parameters.budget import MIN_STEPS
from ..parameters.parameters import Lever
from ..units import format_duration
from .generation_messages import GenerationMessage

Sigmas = tuple[float, ...]

StepItems = Callable[[OptimizedParameters, Sequence[float]], Sequence[float]]
"""(settings, schedule of steps + 1 sigmas) → forward items of one image in each step."""

ROUNDING = 1e-4
"""A cutoff lies so much above the level at which guidance ends: hosts hold levels in single precision, or read them
between the model's training steps."""

FIRST_CHANGE = 2
"""Steps that a run takes before its speed is trusted: the first one loads and warms up."""


@dataclass
class TimeKeeper:
    """Schedule and settings of a run, changed on the way where its time limit would be missed.

    Raises nothing: where nothing can be changed, a late run goes on as it is.
    """

    parameters: OptimizedParameters
    sigmas: Sigmas
    """Steps + 1, of the forward batch that runs now or comes next."""
    images: int
    step_items: StepItems
    levers: frozenset[Lever]
    """Settings that may give way."""
    notes: list[str] = field(default_factory=list)
    _first: int = 0
    _size: int = 1

    @property
    def watches(self) -> bool:
        """True where the run may be changed."""
        return self.parameters.max_time_seconds is not None and bool(self.levers)

    def start(self, first: int, size: int) -> None:
        """Begin a forward batch of `size` images at image `first`."""
        self._first, self._size = first, size

    @property
    def changed(self) -> bool:
        """True once anything was changed."""
        return bool(self.notes)

    def done(self, step: int) -> float:
        """Return the forward items of the current batch up to `step` (from 0) and with it."""
        return self._size * sum(self.step_items(self.parameters, self.sigmas)[: step + 1])

    def rest(self, step: int) -> float:
        """Return the forward items of all images that are left after `step` (from 0) of the current batch."""
        return self._rest(self.parameters, self.sigmas, step)

    def change(self, step: int, affordable: float, expected: float) -> bool:
        """Change the rest after `step` so that it takes at most `affordable` forward items, or as few as may be.

        `expected`: seconds that the whole run would take. Returns whether anything was changed.
        """
        if not self.levers or step + 1 < FIRST_CHANGE:
            return False
        before = self.rest(step)
        best: tuple[float, OptimizedParameters, Sigmas] | None = None
        for parameters, sigmas in self._candidates(step):
            rest = self._rest(parameters, sigmas, step)
            if rest < (best[0] if best else before):
                best = rest, parameters, sigmas
            if best and best[0] <= affordable:
                break
        if best is None:
            return False
        self._tell(step, best[1], best[2], expected)
        _, self.parameters, self.sigmas = best
        return True

    def _rest(self, parameters: OptimizedParameters, sigmas: Sigmas, step: int) -> float:
        each = self.step_items(parameters, sigmas)
        later = max(0, self.images - self._first - self._size)
        return self._size * sum(each[step + 1 :]) + later * sum(each)

    def _candidates(self, step: int) -> Iterator[tuple[OptimizedParameters, Sigmas]]:
        """Settings for the rest, the least changed first."""
        parameters, sigmas = self.parameters, self.sigmas
        steps = len(sigmas) - 1
        if Lever.GUIDANCE in self.levers:
            for at in range(steps - 1, max(step, steps // 2 - 1), -1):
                yield self._unguided_from(at, parameters, sigmas), sigmas
        if Lever.STEPS not in self.levers:
            return
        done, fewest = step + 1, min(MIN_STEPS, steps)
        for left in range(steps - done - 1, max(0, fewest - done - 1), -1):
            spread = _spread(sigmas, done, left)
            if Lever.GUIDANCE in self.levers:
                at = max(done, (len(spread) - 1) // 2)
                yield self._unguided_from(at, parameters, spread), spread
            else:
                yield parameters, spread

    def _unguided_from(self, at: int, parameters: OptimizedParameters, sigmas: Sigmas) -> OptimizedParameters:
        """Settings without guidance from step `at` on, or from an earlier cutoff."""
        cutoff = 0.0
        if at < len(sigmas) - 1:
            cutoff = max(sigmas[at] * (1 + ROUNDING), parameters.improvements.cfg_cutoff_sigma)
        start = parameters.improvements.cfg_start_sigma
        if cutoff <= 0 or (start is not None and start <= cutoff):
            return parameters
        return replace(parameters, improvements=replace(parameters.improvements, cfg_cutoff_sigma=cutoff))

    def _tell(self, step: int, parameters: OptimizedParameters, sigmas: Sigmas, expected: float) -> None:
        limit = self.parameters.max_time_seconds or 0.0
        changes = []
        cutoff = parameters.improvements.cfg_cutoff_sigma
        if cutoff != self.parameters.improvements.cfg_cutoff_sigma:
            changes.append(GenerationMessage.GUIDANCE_ENDS.format(sigma=cutoff))
        if len(sigmas) != len(self.sigmas):
            changes.append(GenerationMessage.FEWER_STEPS.format(steps=len(sigmas) - 1, before=len(self.sigmas) - 1))
        self.notes.append(
            GenerationMessage.CHANGED_IN_FLIGHT.format(
                step=step + 1,
                expected=format_duration(expected),
                limit=format_duration(limit),
                changes=" and ".join(changes),
            )
        )


def _spread(sigmas: Sigmas, done: int, left: int) -> Sigmas:
    """Return `sigmas` with `left` of those between the first `done` and the end, evenly picked; the last one stays, as
    samplers that draw noise scale it by the lowest level."""
    rest = sigmas[done:-1]
    picked = (rest[round((index + 1) * len(rest) / left) - 1] for index in range(left))
    return (*sigmas[:done], *picked, sigmas[-1])


def as_run(parameters: OptimizedParameters, sigmas: Sigmas, denoise: float = 1.0) -> OptimizedParameters:
    """Return the settings whose run steps through `sigmas` from its start, without a clock.

    `denoise`: share of a start latent that is sampled anew. Below 1 the schedule begins with levels that such a run
    leaves out.
    """
    steps = len(sigmas) - 1
    skipped = max(0, round(steps / denoise) - steps) if denoise > 0 else 0
    above = tuple(sigmas[0] * (1 + share / (skipped + 1)) for share in range(skipped, 0, -1))
    return replace(
        parameters,
        num_steps=steps + skipped,
        sigmas=(*above, *sigmas),
        schedule=None,
        gives_way=(),
    )
