"""The part of the Ray executor that runs in a worker's process: a device, its loaded model, one job at a time.

What comes and goes is JSON text and bytes: nothing in it is executed.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ...errors import IntelligentGenerationError
from ...lora import LoRARecommendation
from ...memory import MemoryPlan, detect_resources
from ...parameters import OptimizedParameters
from ...registry import ModelRegistry
from ..diffusers_host import DiffusersHost
from ..run import Execution
from ..run_timer import PassTime
from ..stages import GenerationPlan
from ..standalone import require_standalone

STOPPED = "JobStoppedError"


class RayWorker:
    """An actor. `run` makes pictures; the rest answers while it does, from another thread."""

    def __init__(self, home: str) -> None:
        """`home`: data folder."""
        os.environ.setdefault("INTELLIGENT_GENERATION_HOME", home)
        self._slowdown = 0.0
        self._host: DiffusersHost | None = None
        self._stop = ""
        self._step = (0, 0)

    def describe(self) -> str:
        """Import what sampling needs; return this device's `Resources` and the process id as JSON."""
        require_standalone("a Ray worker")
        return json.dumps({"resources": detect_resources().to_dict(), "pid": os.getpid()})

    def slow_down(self, seconds: float) -> None:
        """Add seconds to each step, to try mixed speeds."""
        self._slowdown = seconds

    def step(self) -> tuple[int, int]:
        """Return (steps done, steps in all) of the running job."""
        return self._step

    def stop(self, key: str) -> None:
        """End the running job of this key at its next step."""
        self._stop = key

    def run(self, key: str, base_model: str, plan: str, seeds: list[int]) -> tuple[str, list[tuple[int, int, bytes]]]:
        """Make pictures. Returns measurements or an error as JSON, and width, height and RGB bytes of each picture."""
        self._step = (0, 0)
        started = time.perf_counter()

        def on_step(done: int, total: int) -> None:
            self._step = (done, total)
            if self._slowdown:
                time.sleep(self._slowdown)
            if self._stop == key:
                raise InterruptedError

        try:
            execution = self._host_of(base_model).execute(_localized(GenerationPlan.from_json(plan)), seeds, on_step)
        except InterruptedError:
            return json.dumps({"error": "", "kind": STOPPED}), []
        except (IntelligentGenerationError, RuntimeError, ValueError, OSError) as error:
            return json.dumps({"error": str(error) or type(error).__name__, "kind": type(error).__name__}), []
        finally:
            self._step = (0, 0)
        images = [image.convert("RGB") for image in execution.images]
        seconds = time.perf_counter() - started
        return measured(execution, seconds), [(*image.size, image.tobytes()) for image in images]

    def _host_of(self, base_model: str) -> DiffusersHost:
        """Return the host of the checkpoint that is in use; another one takes its place."""
        if self._host is None or self._host.base_model != base_model:
            self._host = None
            self._host = DiffusersHost(base_model)
        return self._host


def measured(execution: Execution, seconds: float) -> str:
    """Return an execution without its images as JSON; `seconds`: it took in the worker, LoRAs and loading included."""
    names = [
        each.name for each in fields(Execution) if each.name not in ("images", "extra", "memory", "ran", "own_steps")
    ]
    memory = execution.memory.to_dict() if execution.memory else None
    ran = [each.to_dict() for each in execution.ran]
    return json.dumps(
        {
            **{name: getattr(execution, name) for name in names},
            "memory": memory,
            "ran": ran,
            "extra": {"seconds": seconds},
        }
    )


def execution_from(facts: dict[str, Any], images: list[Any]) -> Execution:
    """Return the execution that `measured` told."""
    memory = MemoryPlan.from_dict(facts["memory"]) if facts["memory"] else None
    ran = tuple(OptimizedParameters.from_dict(each) for each in facts["ran"])
    first = PassTime(*facts["first_pass"]) if facts.get("first_pass") else None
    lists = {name: _as_tuple(value) for name, value in facts.items() if isinstance(value, list)}
    return Execution(images=images, **{**facts, **lists, "first_pass": first, "memory": memory, "ran": ran})


def _as_tuple(value: Any) -> Any:
    """Return a value of JSON with tuples in the place of its lists."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def _localized(plan: GenerationPlan) -> GenerationPlan:
    """Return the plan with the paths of its LoRAs on this host, where the coordinator's lead nowhere."""
    if all(Path(lora.lora_metadata.local_path or "").is_file() for lora in plan.loras):
        return plan
    registry = ModelRegistry()
    loras = [_here(lora, registry) for lora in plan.loras]
    return replace(plan, recommendations=replace(plan.recommendations, suggested_loras=loras))


def _here(lora: LoRARecommendation, registry: ModelRegistry) -> LoRARecommendation:
    if Path(lora.lora_metadata.local_path or "").is_file():
        return lora
    return replace(lora, lora_metadata=registry.get_model(lora.lora_metadata.model_id))
