"""Scouting on diffusers: the picked seed goes on, to the last bit of a whole run, and computes nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intelligence.config import OffloadStrategy
from intelligence.errors import InvalidInputError
from intelligence.generation.diffusers_host import DiffusersHost
from intelligence.generation.embedded import EmbeddedModel
from intelligence.generation.stages import GenerationPlan, Recommendations
from intelligence.lora import LoRARecommendation
from intelligence.memory import MemoryPlan
from intelligence.models import ModelMetadata
from intelligence.parameters import Improvements, OptimizedParameters
from intelligence.prompt import PromptAnalysis

SEEDS = (5, 0, 2**64 - 1)
AYS = (14.615, 6.318, 3.768, 2.181, 1.341, 0.862, 0.555, 0.380, 0.233, 0.111, 0.0)


@pytest.fixture
def evaluated(host: DiffusersHost) -> Iterator[list[int]]:
    """Rows of each batch that really goes through the UNet's first layer."""
    host.execute(plan(), [1])
    seen: list[int] = []
    hook = host._pipe.unet.conv_in.register_forward_hook(lambda _layer, args, _out: seen.append(args[0].shape[0]))
    yield seen
    hook.remove()


def lora(path: Path, alpha: float = 1.0) -> LoRARecommendation:
    return LoRARecommendation(path.stem, ModelMetadata(path.name, path.stem, local_path=str(path)), 0.9, alpha)


def plan(*loras: LoRARecommendation, memory: dict[str, Any] | None = None, **settings: Any) -> GenerationPlan:
    usual = {"num_steps": 8, "guidance_scale": 6.0, "width": 64, "height": 96, "sampler_name": "euler"}
    parameters = OptimizedParameters(**{**usual, "scheduler": "normal", **settings})
    recommendations = Recommendations(
        PromptAnalysis("a red cat"), [*loras], parameters, prompt="a (red:1.2) cat", negative_prompt="blurry"
    )
    return GenerationPlan(
        recommendations, MemoryPlan(**{"strategy": OffloadStrategy.FULL_GPU, "device": "cpu", **(memory or {})})
    )


def scouted_and_whole(host: DiffusersHost, wanted: GenerationPlan, pick: int) -> tuple[Any, Any, Any]:
    """Return the scouting, its picked seed resumed, and a whole run of that seed."""
    scouting = host.scout(wanted, SEEDS)
    resumed = host.resume(scouting, pick).execute(scouting.plan, [SEEDS[pick]])
    return scouting, resumed, host.execute(wanted, [SEEDS[pick]])


@pytest.mark.parametrize(
    ("sampler", "scheduler"),
    [
        ("euler", "normal"),
        ("euler_ancestral", "karras"),
        ("dpmpp_2m", "karras"),
        ("dpmpp_2m_sde", "karras"),
        ("dpmpp_3m_sde", "exponential"),
        ("dpmpp_sde", "normal"),
        ("heun", "normal"),
        ("dpm_2_ancestral", "normal"),
        ("uni_pc_bh2", "normal"),
        ("lms", "normal"),
        ("lcm", "sgm_uniform"),
        ("ddpm", "normal"),
        ("sa_solver", "normal"),
    ],
)
def test_resume_equals_whole_run(host: DiffusersHost, sampler: str, scheduler: str) -> None:
    scouting, resumed, whole = scouted_and_whole(host, plan(sampler_name=sampler, scheduler=scheduler), 1)
    assert resumed.images[0].tobytes() == whole.images[0].tobytes()
    spent = scouting.recordings[1].items
    assert 0 < spent < whole.forward_items
    assert resumed.forward_items == whole.forward_items - spent
    assert scouting.forward_items == sum(recording.items for recording in scouting.recordings)


@pytest.mark.parametrize(
    "settings",
    [
        {"improvements": Improvements(cfg_cutoff_sigma=2.0)},
        {"improvements": Improvements(cfg_start_sigma=6.0)},
        {"guidance_scale": 1.0},
        {"sampler_name": "dpmpp_2m", "num_steps": 10, "sigmas": AYS},
        {"num_steps": 1},
        {"memory": {"strategy": OffloadStrategy.CPU_OFFLOAD}},
        {"memory": {"strategy": OffloadStrategy.SEQUENTIAL}},
        {"memory": {"cfg_split": True}},
        {"memory": {"tile_size": 64}},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_resume_with_any_settings(host: DiffusersHost, settings: dict[str, Any]) -> None:
    scouting, resumed, whole = scouted_and_whole(host, plan(**settings), 2)
    assert resumed.images[0].tobytes() == whole.images[0].tobytes()
    assert resumed.forward_items == whole.forward_items - scouting.recordings[2].items


def test_resume_with_loras(host: DiffusersHost, embedded: EmbeddedModel) -> None:
    first, second = (lora(path, 0.8) for path in embedded.lora_paths[:2])
    _, resumed, whole = scouted_and_whole(host, plan(first, second, sampler_name="euler_ancestral"), 0)
    assert resumed.images[0].tobytes() == whole.images[0].tobytes()


def test_resume_computes_no_forward_item_twice(host: DiffusersHost, evaluated: list[int]) -> None:
    told: list[tuple[int, int]] = []
    scouting = host.scout(plan(), SEEDS, lambda done, of: told.append((done, of)))
    assert scouting.steps == 2
    assert sum(evaluated) == scouting.forward_items == 3 * 2 * 2
    assert told == [(done, 6) for done in range(1, 7)]
    evaluated.clear()
    resumed = host.resume(scouting, 0).execute(scouting.plan, [SEEDS[0]])
    assert sum(evaluated) == resumed.forward_items == 16 - 4
    assert resumed.seconds_per_item is None
    (note,) = resumed.notes
    start = "picked from 3 scouted seeds, which took 12 passes of the model; resumed after step 2, so 4 of them"
    assert note.startswith(start)


def test_resume_every_seed_with_other_runs_between(host: DiffusersHost, embedded: EmbeddedModel) -> None:
    wanted = plan(sampler_name="dpmpp_2m_sde")
    scouting = host.scout(wanted, SEEDS)
    host.execute(plan(lora(embedded.lora_paths[0]), sampler_name="heun"), [3])
    for pick, seed in enumerate(SEEDS):
        resumed = host.resume(scouting, pick).execute(scouting.plan, [seed])
        assert resumed.images[0].tobytes() == host.execute(wanted, [seed]).images[0].tobytes()


def test_scout_previews_predicted_images(host: DiffusersHost) -> None:
    for sampler in ("euler", "dpmpp_2m"):
        settings = {"sampler_name": sampler, "width": 128, "height": 128}
        scouting = host.scout(plan(num_steps=32, **settings), SEEDS)
        wholes = [pixels(image) for image in host.execute(plan(num_steps=32, **settings), SEEDS).images]
        previews = [pixels(image) for image in scouting.previews]
        assert all(preview.shape == wholes[0].shape for preview in previews)
        for index, preview in enumerate(previews):
            distances = [np.abs(preview - whole).mean() for whole in wholes]
            assert distances.index(min(distances)) == index, settings


def pixels(image: Any) -> np.ndarray:
    return np.asarray(image).astype(np.int16)


def test_scout_recordings_are_small_and_on_the_cpu(host: DiffusersHost) -> None:
    scouting = host.scout(plan(num_steps=30), SEEDS)
    for recording in scouting.recordings:
        tensors = [each for inputs, predictions in recording.calls for each in (*inputs, *predictions)]
        assert len(recording.calls) == scouting.steps == 8
        assert {str(each.device) for each in tensors} == {"cpu"}
        latent = 2 * 4 * (64 // 8) * (96 // 8) * 4
        assert sum(each.nbytes for each in tensors) <= 8 * (2 * latent + 64)


@pytest.mark.parametrize("pick", [-1, 3, True, 0.0, "0"])
def test_resume_refuses_picks(host: DiffusersHost, pick: Any) -> None:
    with pytest.raises(InvalidInputError, match="0 to 2"):
        host.resume(host.scout(plan(), SEEDS), pick)


def test_resume_refuses_changed_plan(host: DiffusersHost, embedded: EmbeddedModel, tmp_path: Path) -> None:
    copied = tmp_path / "own.safetensors"
    copied.write_bytes(embedded.lora_paths[0].read_bytes())
    for change in (
        lambda scouted: setattr(scouted.plan.parameters, "num_steps", 9),
        lambda scouted: setattr(scouted.plan.recommendations, "prompt", "a blue cat"),
        lambda scouted: setattr(scouted.plan.loras[0], "suggested_alpha", 0.1),
        lambda scouted: scouted.plan.loras.clear(),
        lambda scouted: copied.write_bytes(embedded.lora_paths[1].read_bytes()),
    ):
        scouting = host.scout(plan(lora(copied)), SEEDS)
        change(scouting)
        with pytest.raises(InvalidInputError, match="scout again"):
            host.resume(scouting, 0)


def test_resume_ignores_recording_for_another_seed(host: DiffusersHost) -> None:
    scouting = host.scout(plan(), SEEDS)
    found = host.resume(scouting, 0).execute(scouting.plan, [77])
    assert found.images[0].tobytes() == host.execute(plan(), [77]).images[0].tobytes()


def test_scout_after_interrupt(host: DiffusersHost) -> None:
    before = host.execute(plan(), [1])

    def stop(_done: int, _of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        host.scout(plan(), SEEDS, stop)
    after = host.execute(plan(), [1])
    assert after.images[0].tobytes() == before.images[0].tobytes()
    assert (after.forward_items, after.notes) == (before.forward_items, before.notes)


def test_resume_times_remaining_steps(host: DiffusersHost) -> None:
    scouting = host.scout(plan(max_time_seconds=0.01, forward_items=16), SEEDS)
    assert scouting.notes == ()
    resumed = host.resume(scouting, 0).execute(scouting.plan, [SEEDS[0]])
    assert any("will be exceeded" in note for note in resumed.notes)


def test_resume_accepts_equal_plan(host: DiffusersHost) -> None:
    scouting = host.scout(plan(), SEEDS)
    host.resume(replace(scouting, plan=plan()), 0)
