"""Settings and memory plan tell the same seconds, and the settings are cut to fit by the plan that is run."""

from dataclasses import replace
from pathlib import Path

import pytest

from intelligence.config import GenerationConstraints, MemorySettings, OffloadStrategy
from intelligence.generation.choice_requests import LoRARequest, SettingsRequest
from intelligence.generation.planner import Planner
from intelligence.generation.stages import GenerationPlan
from intelligence.learning import LearningEngine, Timing
from intelligence.memory import MemoryRequest, Resources, hypothetical_gpu
from intelligence.models import ModelEvidence
from intelligence.registry import ModelRegistry

MACHINE = Resources("cpu", "Test", 64, 64, 64, 64)
ROOMY = {
    "cpu": MACHINE,
    "mps": replace(MACHINE, device="mps", dtypes=("float16",)),
    "cuda": hypothetical_gpu(48, MACHINE),
}
EARLIER_RUNS = {
    "nothing learned": [],
    "fast": [Timing(1024, 1024, 1, 20, 10, 0.055, 1.4)],
    "slow": [Timing(1024, 1024, 1, 40, 20, 30.0, 1260.0), Timing(768, 768, 2, 80, 40, 15.0, 1250.0)],
}


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    return Planner(ModelRegistry(tmp_path / "registry.db"), LearningEngine(tmp_path / "learning.db"))


def planned(
    planner: Planner, resources: Resources, request: MemoryRequest, constraints: GenerationConstraints | None = None
) -> GenerationPlan:
    sdxl = ModelEvidence(name="sd_xl_base_1.0.safetensors")
    recommendations = planner.recommend(planner.analyze("a portrait photo of a woman"), sdxl, LoRARequest())
    settings = SettingsRequest(constraints or GenerationConstraints(), memory=request, resources=resources)
    chosen = planner.parametrize(recommendations, settings)
    return planner.plan(chosen, request, resources=resources)


@pytest.mark.parametrize("runs", EARLIER_RUNS)
@pytest.mark.parametrize("device", ROOMY)
@pytest.mark.parametrize("images", [1, 3])
def test_plan_seconds_are_the_settings_seconds(planner: Planner, device: str, runs: str, images: int) -> None:
    planner.optimizer._timings = lambda key: EARLIER_RUNS[runs]
    plan = planned(planner, ROOMY[device], MemoryRequest(images=images))
    memory = plan.memory
    assert (memory.batch_size, memory.tile_size, memory.cfg_split) == (images, 0, False)
    assert memory.seconds == pytest.approx(plan.parameters.estimated_time_seconds)
    assert memory.speed_learned == bool(EARLIER_RUNS[runs])
    assert not [reason for reason in memory.reasons if reason.setting == "added time"]


@pytest.mark.parametrize("runs", EARLIER_RUNS)
@pytest.mark.parametrize("strategy", [OffloadStrategy.CPU_OFFLOAD, OffloadStrategy.SEQUENTIAL])
def test_plan_seconds_add_what_is_moved(planner: Planner, strategy: OffloadStrategy, runs: str) -> None:
    planner.optimizer._timings = lambda key: EARLIER_RUNS[runs]
    request = MemoryRequest(settings=MemorySettings(strategy), tile_size=0)
    plan = planned(planner, ROOMY["cuda"], request)
    (added,) = (reason for reason in plan.memory.reasons if reason.setting == "added time")
    assert plan.memory.seconds == pytest.approx(plan.parameters.estimated_time_seconds + added.value)
    gib = {OffloadStrategy.CPU_OFFLOAD: 2 * 6.46, OffloadStrategy.SEQUENTIAL: 4.78 * plan.parameters.num_steps}
    rates = planner.optimizer.memory_request(request, plan.parameters).rates
    rate = rates.moved_byte if strategy is OffloadStrategy.CPU_OFFLOAD else rates.streamed_byte
    assert 0.5 < added.value / (gib[strategy] * 2**30 * rate) < 1.2


def test_reasons_tell_assumed_speed_as_guess(planner: Planner) -> None:
    for resources in (*ROOMY.values(), hypothetical_gpu(4, MACHINE)):
        plan = planned(planner, resources, MemoryRequest())
        told = [*plan.parameters.reasons, *plan.memory.reasons]
        assert not [reason for reason in told if "TFLOP" in reason.evidence]
        seconds = [reason for reason in told if reason.setting in ("time", "added time")]
        assert seconds and all("a cautious guess" in reason.evidence for reason in seconds)


@pytest.mark.parametrize("limit", [0.75, 1.0, 4.0, 24.0])
def test_settings_are_cut_by_the_plan_that_is_run(planner: Planner, limit: float) -> None:
    request = MemoryRequest(images=2, max_batch=1, lora_gb=0.2, weights_gb={"unet": 4.9}, vae_dtype="float32")
    plans = []
    make_plan = planner.memory.plan

    def recording(*args: object, **details: object) -> object:
        plans.append(make_plan(*args, **details))  # type: ignore[arg-type]
        return plans[-1]

    planner.memory.plan = recording  # type: ignore[method-assign,assignment]
    plan = planned(planner, ROOMY["cuda"], request, GenerationConstraints(max_vram_gb=limit))
    assert plan.memory.budget_gb == limit
    assert any(plan.memory == earlier for earlier in plans[:-1])
    assert plan.parameters.estimated_vram_gb == plan.memory.predicted_peak_gb
