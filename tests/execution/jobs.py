"""Jobs for tests that sample nothing, and a clock that runs them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from intelligence.config import PipelineConfig
from intelligence.generation.execution.dispatcher import Dispatcher
from intelligence.generation.execution.job_records import Job, Worker
from intelligence.generation.stages import GenerationPlan, Recommendations
from intelligence.lora import LoRARecommendation
from intelligence.memory import MemoryManager
from intelligence.models import ModelMetadata
from intelligence.parameters import OptimizedParameters
from intelligence.prompt import PromptAnalysis


def recommendations(loras: Iterable[str] = (), steps: int = 4, prompt: str = "a fox") -> Recommendations:
    """Return a choice of these LoRAs."""
    chosen = [LoRARecommendation(name, ModelMetadata(f"lora:{name}", name), 0.9, 0.8) for name in loras]
    settings = OptimizedParameters(steps, 5.0, 64, 64, "euler", "normal")
    return Recommendations(PromptAnalysis(prompt), chosen, prompt=prompt, suggested_params=settings)


def job(number: int, loras: Iterable[str] = (), base_model: str = "embedded", seconds: float = 1.0) -> Job:
    """Return the job of this number."""
    return Job(recommendations(loras), (number,), f"key-{number}", PipelineConfig(base_model), number, seconds)


def fit(job: Job, worker: Worker) -> GenerationPlan:
    """Return a plan of a job for any worker."""
    return GenerationPlan(job.recommendations, MemoryManager().plan(64, 64))


def play(dispatcher: Dispatcher, speeds: Mapping[str, float]) -> tuple[float, dict[str, int]]:
    """Run all jobs with workers that take `speeds[name]` seconds for a predicted one.

    Returns the time of the last result, and the results of each worker. Workers whose job another one ended first stop.
    """
    now, end, asking = 0.0, 0.0, set(speeds)
    done = dict.fromkeys(speeds, 0)
    running: dict[str, Job] = {}
    started: dict[str, float] = {}
    ends: list[tuple[float, str, str]] = []
    while dispatcher.open:
        for name, at in started.items():
            if name in running:
                share = (now - at) / (running[name].seconds * speeds[name])
                dispatcher.report(name, int(100 * share), 100)
        for name in sorted(asking):
            if taken := dispatcher.take(name, now):
                running[name], started[name] = taken, now
                heapq.heappush(ends, (now + taken.seconds * speeds[name], name, taken.key))
        asking = set(speeds) - running.keys()
        now, name, key = heapq.heappop(ends)
        if name not in running or running[name].key != key:
            continue
        settled = dispatcher.finished(name, running.pop(name), now)
        done[name] += settled.counts
        end = now if settled.counts else end
        for other in settled.stop:
            dispatcher.stopped(other, running.pop(other), now)
        asking = set(speeds) - running.keys()
    return end, done
