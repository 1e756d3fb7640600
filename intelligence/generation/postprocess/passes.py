"""Two passes of one run as one: its steps as they are told, and the settings that repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...parameters import OptimizedParameters
from ...parameters.second_pass import first_run, joined, second_run
from ..run import OnStep


def steps_of_passes(parameters: OptimizedParameters, on_step: OnStep | None) -> tuple[OnStep | None, OnStep | None]:
    """Return what to call after each step of the first and of the second pass, so that steps count through both."""
    second = parameters.second_pass
    if on_step is None or second is None:
        return on_step, on_step
    tell, share = on_step, second.steps / parameters.num_steps

    def first_step(done: int, total: int) -> None:
        tell(done, total + round(total * share))

    def second_step(done: int, total: int) -> None:
        before = round(total / share)
        tell(before + done, before + total)

    return first_step, second_step


def joined_settings(
    parameters: OptimizedParameters, first: Sequence[OptimizedParameters], second: Sequence[OptimizedParameters]
) -> tuple[OptimizedParameters, ...]:
    """Return the settings that each image was run with; empty where both passes ran as planned.

    `first` and `second`: those of each image in that pass where a time limit changed them; empty: as planned.
    """
    if not first and not second:
        return ()
    plans = (first_run(parameters), second_run(parameters))
    made = []
    for index in range(len(first or second)):
        ran = (first[index] if first else None, second[index] if second else None)
        items = [(each or plan).forward_items or 0 for each, plan in zip(ran, plans, strict=True)]
        settings = joined(parameters, *ran)
        assert settings.second_pass is not None
        told = replace(settings.second_pass, forward_items=items[1])
        made.append(replace(settings, second_pass=told, forward_items=sum(items), forward_items_interval=None))
    return tuple(made)
