"""What is planned after a stage ran out of memory: always less there, until nothing is left but a smaller size."""

import pytest

from intelligence.config import MemorySettings, OffloadStrategy
from intelligence.memory import COMFYUI, MemoryManager, Resources

manager = MemoryManager(host=COMFYUI)
CPU = Resources("cpu", "CPU", 64, 64, 64, 64)
CARD = Resources("cuda", "Card", 24, 24, 64, 48, dtypes=("float16",))


def chain(stage, resources, **job):
    """Plans, each made because the one before ran out of memory in `stage`; the last does not fit."""
    plans = [manager.plan(1024, 768, resources=resources, **job)]
    while plans[-1].fits:
        plans.append(manager.plan(1024, 768, resources=resources, failed={stage: plans[-1]}, **job))
    return plans


def test_failed_plan_on_cpu_splits_batch_and_guidance():
    plans = chain("unet", CPU, images=4)[:-1]
    assert [plan.batch_size * (1 if plan.cfg_split else 2) for plan in plans] == [8, 4, 2, 1]
    (one, split) = chain("unet", CPU)[:-1]
    assert not one.cfg_split and split.cfg_split


def test_failed_plan_on_card_moves_weights():
    plans = chain("unet", CARD)
    assert [plan.strategy for plan in plans[:2]] == [OffloadStrategy.FULL_GPU, OffloadStrategy.FULL_GPU]
    assert plans[1].cfg_split
    assert OffloadStrategy.SEQUENTIAL in [plan.strategy for plan in plans]
    assert chain("lora", CARD, lora_gb=0.2)[1].strategy is not OffloadStrategy.FULL_GPU


@pytest.mark.parametrize("resources", [CPU, CARD])
@pytest.mark.parametrize("stage", ["unet", "vae"])
def test_failed_plans_shrink_until_size_is_named(stage, resources):
    *plans, refused = chain(stage, resources)
    peaks = [plan.stages[stage] for plan in plans]
    assert peaks == sorted(set(peaks), reverse=True) and len(peaks) > 1
    width, height = refused.largest_size
    assert (width, height) != (1024, 768) and width <= 1024 and height <= 768


def test_failed_plan_without_smaller_size():
    small = manager.plan(64, 64, resources=CPU)
    refused = manager.plan(64, 64, resources=CPU, failed={"vae": small})
    assert not refused.fits and refused.largest_size is None and refused.setup == small.setup
    assert "no smaller size would fit" in refused.reasons[-1].evidence


def test_failed_plan_uses_current_corrections(tmp_path):
    learning = MemoryManager(tmp_path / "memory.db", COMFYUI)
    whole = learning.plan(1024, 1024, resources=CPU)
    learning.ran_out(whole, "vae", CPU)
    smaller = learning.plan(1024, 1024, resources=CPU, failed={"vae": whole})
    assert (
        smaller.fits and smaller.tile_size == manager.plan(1024, 1024, resources=CPU, failed={"vae": whole}).tile_size
    )


def test_weights_limit():
    """As much as the activations leave of the budget; what was asked for by name, exactly."""
    card = Resources("cuda", "Card", 4, 4, 64, 48, context_gb=0.4, dtypes=("float16",))
    tight = manager.plan(1024, 1024, resources=card)
    assert tight.strategy is OffloadStrategy.SEQUENTIAL
    activations = tight.reserved_gb["unet"] - tight.context_gb - tight.resident["unet"]
    assert tight.weights_limit("unet") == pytest.approx(4 - activations)
    settings = MemorySettings(OffloadStrategy.SEQUENTIAL)
    asked = manager.plan(1024, 1024, resources=CARD, settings=settings)
    assert asked.requested_strategy is OffloadStrategy.SEQUENTIAL
    assert asked.weights_limit("unet") == asked.resident["unet"] < 1
    unlimited = manager.plan(1024, 1024, resources=Resources("cpu", "CPU", 0, 0, 0, 0))
    assert unlimited.weights_limit("unet") == unlimited.resident["unet"]
