"""Executions that travel between processes as JSON come back equal."""

from __future__ import annotations

import json
from dataclasses import replace

from intelligence.generation.execution.ray_worker import execution_from, measured
from intelligence.generation.run import Execution
from intelligence.generation.run_timer import PassTime
from intelligence.memory import MemoryManager

from .jobs import recommendations


def test_execution_comes_back_equal() -> None:
    ran = (recommendations().suggested_params,)
    facts = Execution(
        [],
        1.5,
        first_pass=PassTime(*range(len(PassTime._fields))),
        memory=MemoryManager().plan(64, 64),
        ran=ran,
        notes=("a note",),
        digests=("12ab",),
        looks=((1, -2), (3, 4)),
    )
    back = execution_from(json.loads(measured(facts, 2.0)), [])
    assert replace(back, extra={}) == facts
    assert back.extra == {"seconds": 2.0}
