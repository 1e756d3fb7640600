"""The grid that runs on a graphics card: as much of it as a CPU can, so that its first run there is not its first."""

import math
from dataclasses import replace

import pytest

from intelligence.config import OffloadStrategy
from intelligence.generation.embedded import ensure_embedded
from intelligence.memory import hypothetical_gpu
from tests.benchmarks import memory_grid, memory_setting

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("embedded_home")


@pytest.fixture
def setting(monkeypatch):
    monkeypatch.setattr(memory_grid, "BATCHES", (1,))
    return replace(memory_setting.on_a_cpu(), limits_gb=(1.0,), sides=(64,), tile=64, steps=1, race_steps=1)


def test_full_size_pipeline_from_configs():
    """Here of the embedded model's, which has the same parts."""
    pipe = memory_setting.full_size("cpu", ensure_embedded().folder)
    modules = (pipe.unet, pipe.vae, pipe.text_encoder, pipe.text_encoder_2)
    assert {parameter.dtype for module in modules for parameter in module.parameters()} == {torch.float16}
    assert torch.get_default_dtype() == torch.float32
    assert pipe.vae.config.force_upcast
    assert len(pipe.tokenizer("a cat").input_ids) > 2


def test_grid_compares_every_cell_with_measurement(setting, monkeypatch):
    from intelligence.memory import usage

    monkeypatch.setattr(usage, "PeakCounter", lambda device: Counter())
    grid = memory_grid.Grid(setting, math.inf)
    grid.run("float16", setting.limits_gb)
    ended = [name for name, value in grid.figures.items() if name.endswith("_ends") and value]
    assert len(ended) == 3 * 2 * 2  # placements, precisions of the decode, whole and tiled
    summary = grid.summary()
    assert (summary["plans"], summary["plans_that_end"]) == (len(ended), len(ended))
    assert not summary["memory_figures_owed"]
    assert summary["whole_error_worst_percent"] > 90  # the counter makes them up


class Counter:
    def reset(self):
        pass

    def peak_gb(self):
        return 5.0


def test_grid_reports_out_of_memory(setting, monkeypatch):
    def fail(*_):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(memory_grid, "_run", fail)
    assert memory_grid.run(setting.pipeline(), setting, 64, 1, 1) is None


def test_race_includes_diffusers_offloading(setting):
    figures = memory_grid.race(setting, setting.limits_gb, math.inf)
    seconds = {name: value for name, value in figures.items() if name.endswith("_seconds")}
    assert len(seconds) == 1 + 1 + 2 * 2
    assert all(value > 0 for value in seconds.values())


def test_limit_leaves_room_for_context(setting, monkeypatch):
    shares = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    idle = replace(hypothetical_gpu(16, setting.resources), context_gb=0.5)
    with replace(setting, device="cuda", resources=idle).limit(4.5):
        assert shares == [0.25]
    assert shares == [0.25, 1.0]


def test_cells_skip_plans_of_smaller_limits(setting):
    resources = hypothetical_gpu(140, setting.resources)
    real = replace(setting, device="cuda", resources=resources, limits_gb=(4.0, 12.0), sides=(1024,), tile=512)
    made = memory_grid.cells(real, "float16", real.limits_gb)
    limits = {(cell.plan.strategy, bool(cell.plan.tile_size), cell.plan.vae_dtype): cell.limit_gb for cell in made}
    assert len(limits) == len(made) == len({cell.name for cell in made})
    assert limits[OffloadStrategy.SEQUENTIAL, True, "float32"] == 4
    assert limits[OffloadStrategy.FULL_GPU, True, "float32"] == 12
    assert all(cell.plan.needed_gb <= cell.limit_gb for cell in made)


def test_write_keeps_figures_of_a_day(tmp_path):
    first = {"machine": "NVIDIA H200", "date": "2026-11-23", "a": 1}
    path = memory_grid.write(first, tmp_path)
    assert memory_grid.write(first | {"b": 2.5}, tmp_path) == path
    assert path.name == "memory_grid-nvidia-h200-2026-11-23.json"
    assert '"a": 1' in path.read_text() and '"b": 2.5' in path.read_text()
