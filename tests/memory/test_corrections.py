"""Measured peaks change later predictions on the same device, and only there."""

from pathlib import Path

import pytest

from intelligence.memory import COMFYUI, MemoryManager, Resources
from intelligence.memory.corrections import BOUNDS, KEPT, Corrections

CARD = Resources("cuda", "Card A", 24, 24, 64, 48)


def activation(plan):
    stage = plan.peak_stage
    return plan.stages[stage] - plan.context_gb - plan.resident[stage]


def test_a_measurement_corrects_the_next_plan(tmp_path: Path):
    file = tmp_path / "memory.db"
    manager = MemoryManager(file)
    first = manager.plan(1024, 1024, resources=CARD)
    assert not file.exists()
    stage = first.peak_stage
    measured = first.resident[stage] + 1.2 * activation(first)
    manager.correct(first, measured, CARD)
    second = MemoryManager(file).plan(1024, 1024, resources=CARD)
    assert activation(second) == pytest.approx(1.2 * activation(first))
    other = Resources("cuda", "Card B", 24, 24, 64, 48)
    assert MemoryManager(file).plan(1024, 1024, resources=other).stages == first.stages
    # What is measured again is set against the uncorrected prediction: it does not creep.
    manager.correct(second, measured, CARD)
    assert manager.plan(1024, 1024, resources=CARD).stages == pytest.approx(second.stages)


def test_what_tells_nothing_is_not_kept(tmp_path: Path):
    manager = MemoryManager(tmp_path / "memory.db")
    plan = manager.plan(1024, 1024, resources=CARD)
    for measured in (0.0, plan.resident[plan.peak_stage] * 0.9):
        manager.correct(plan, measured, CARD)
    assert not (tmp_path / "memory.db").exists()
    MemoryManager().correct(plan, 20.0, CARD)  # learns nothing, and needs no file
    MemoryManager(tmp_path / "memory.db", COMFYUI).correct(plan, 20.0, CARD)  # moves weights as it likes
    assert not (tmp_path / "memory.db").exists()


def test_the_median_of_the_last_counts(tmp_path: Path):
    store = Corrections(tmp_path / "memory.db")
    assert store.of("Card") == {}
    for factor in (9.0, *[2.0] * KEPT, 1.0):
        store.add("Card", "unet", factor)
    store.add("Card", "vae", 0.01)
    assert store.of("Card") == {"unet": 2.0, "vae": BOUNDS[0]}
    assert store.of("Other") == {}
