"""Executions that travel between processes as JSON come back equal; Ray listens with a token."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from intelligence.errors import MissingDependencyError
from intelligence.generation.execution.job_run import JobRun
from intelligence.generation.execution.ray_executor import CLUSTER_VARIABLE, RayExecutor, ray_variables
from intelligence.generation.execution.ray_worker import execution_from, measured
from intelligence.generation.run import Execution
from intelligence.generation.run_timer import PassTime
from intelligence.memory import MemoryManager

from .jobs import fit, recommendations


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


def test_missing_ray_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", CLUSTER_VARIABLE, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"):
        monkeypatch.setenv(name, "1")  # to be brought back
    monkeypatch.setitem(sys.modules, "ray", None)
    with JobRun(RayExecutor(1), fit) as run, pytest.raises(MissingDependencyError, match=r"\[scale\]"):
        run.start()


def test_ray_of_its_own_listens_on_loopback_with_a_new_token() -> None:
    one, other = ray_variables("", {}), ray_variables("", {})
    assert (one["RAY_AUTH_MODE"], one[CLUSTER_VARIABLE]) == ("token", "0")
    assert len(one["RAY_AUTH_TOKEN"]) == 64
    assert one["RAY_AUTH_TOKEN"] != other["RAY_AUTH_TOKEN"]


@pytest.mark.parametrize(
    ("address", "known", "cluster"),
    [
        ("10.0.0.2:6379", {}, "1"),
        ("10.0.0.2:6379", {"RAY_AUTH_MODE": "disabled"}, "1"),
        ("", {"RAY_AUTH_TOKEN": "mine"}, "0"),
        ("", {"RAY_AUTH_TOKEN_PATH": "/home/me/token", CLUSTER_VARIABLE: "1"}, "0"),
    ],
)
def test_ray_takes_no_other_token_than_the_users(address: str, known: dict[str, str], cluster: str) -> None:
    made = ray_variables(address, known)
    assert (made["RAY_AUTH_MODE"], made[CLUSTER_VARIABLE]) == ("token", cluster)
    assert made.keys().isdisjoint(("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
