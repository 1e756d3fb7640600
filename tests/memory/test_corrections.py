"""Measured peaks change later predictions on the same device, and only there."""

import time
from contextlib import closing
from pathlib import Path

import pytest

from intelligence.database import Database
from intelligence.memory import COMFYUI, MemoryManager, Resources
from intelligence.memory.corrections import FACTOR_BOUNDS, FAILURE_SECONDS, KEPT_MEASUREMENTS, MIGRATIONS, Corrections

CARD = Resources("cuda", "Card A", 24, 24, 64, 48)


def activation(plan):
    stage = plan.peak_stage
    return plan.stages[stage] - plan.context_gb - plan.resident[stage]


def test_correct_changes_next_plan(tmp_path: Path):
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


def test_correct_ignores_uninformative_measurements(tmp_path: Path):
    manager = MemoryManager(tmp_path / "memory.db")
    plan = manager.plan(1024, 1024, resources=CARD)
    for measured in (0.0, plan.resident[plan.peak_stage] * 0.9):
        manager.correct(plan, measured, CARD)
    assert not (tmp_path / "memory.db").exists()
    MemoryManager().correct(plan, 20.0, CARD)  # learns nothing, and needs no file
    MemoryManager(tmp_path / "memory.db", COMFYUI).correct(plan, 20.0, CARD)  # moves weights as it likes
    assert not (tmp_path / "memory.db").exists()


def test_corrections_use_median_of_last(tmp_path: Path):
    store = Corrections(tmp_path / "memory.db")
    assert store.of("Card") == {}
    for factor in (9.0, *[2.0] * KEPT_MEASUREMENTS, 1.0):
        store.add("Card", "unet", factor)
    store.add("Card", "vae", 0.01)
    assert store.of("Card") == {"unet": 2.0, "vae": FACTOR_BOUNDS[0]}
    assert store.of("Other") == {}


SMALL_CARD = Resources("cuda", "Card of 10", 10, 9.4, 32, 24, context_gb=0.4, dtypes=("float16",))


def test_ran_out_makes_later_plans_smaller(tmp_path: Path):
    """Whatever was measured before: the whole decode was to fit, so it takes more than the budget left it."""
    file = tmp_path / "memory.db"
    manager = MemoryManager(file, COMFYUI)
    first = manager.plan(832, 832, resources=SMALL_CARD, vae_dtype="bfloat16")
    assert first.fits and first.tile_size == 0
    for _ in range(KEPT_MEASUREMENTS):
        Corrections(file).add("Card of 10", "vae", 1.0)
    assert manager.failures("Card of 10") == 0
    manager.ran_out(first, "vae", SMALL_CARD)
    assert manager.failures("Card of 10") == 1
    second = MemoryManager(file, COMFYUI).plan(832, 832, resources=SMALL_CARD, vae_dtype="bfloat16")
    assert second.fits
    assert (second.strategy, second.tile_size) != (first.strategy, first.tile_size)
    assert second.needed_gb <= second.budget_gb
    assert "decode ×" in next(reason.evidence for reason in second.reasons if reason.setting == "learned")
    # Measurements count again afterwards, also those that are lower.
    for _ in range(KEPT_MEASUREMENTS):
        Corrections(file).add("Card of 10", "vae", 1.0)
    assert (
        MemoryManager(file).plan(832, 832, resources=CARD).stages
        == MemoryManager().plan(832, 832, resources=CARD).stages
    )
    assert manager.failures("Card of 10") == 1 and manager.failures("Card A") == 0


def test_failures_count_for_a_week(tmp_path: Path, monkeypatch):
    store = Corrections(tmp_path / "memory.db")
    store.ran_out("Card", "unet", 2.0)
    now = time.time()
    for later, factors, count in ((FAILURE_SECONDS - 60, {"unet": 2.0}, 1), (FAILURE_SECONDS + 60, {}, 0)):
        monkeypatch.setattr(time, "time", lambda at=now + later: at)
        assert (store.of("Card"), store.failures("Card")) == (factors, count)


def test_ran_out_ignores_plans_that_did_not_fit(tmp_path: Path):
    manager = MemoryManager(tmp_path / "memory.db", COMFYUI)
    plan = manager.plan(4096, 4096, resources=SMALL_CARD, max_vram_gb=0.5)
    assert not plan.fits
    manager.ran_out(plan, "vae", SMALL_CARD)
    MemoryManager().ran_out(plan, "vae", SMALL_CARD)
    assert not (tmp_path / "memory.db").exists()


def test_corrections_migrate_older_file(tmp_path: Path):
    file = tmp_path / "memory.db"
    with closing(Database(file, MIGRATIONS[:1])) as old, old.transaction() as db:
        db.execute("INSERT INTO factors (device, stage, factor) VALUES ('Card', 'unet', 1.5)")
    store = Corrections(file)
    assert store.of("Card") == {"unet": 1.5} and store.failures("Card") == 0
    store.ran_out("Card", "unet", 9.0)
    assert store.of("Card") == {"unet": FACTOR_BOUNDS[1]} and store.failures("Card") == 1
