"""A time limit that no run holds: changed in flight, and repeated by its record without a clock."""

from __future__ import annotations

import numpy as np
import pytest

from intelligence.generation.diffusers_host import DiffusersHost

from .test_host import make, pixels, plan

LATE = {"num_steps": 14, "max_time_seconds": 0.001, "gives_way": ("guidance", "steps")}


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "dpmpp_2m_sde", "heun", "euler_ancestral"])
def test_late_run_is_changed_and_its_record_repeats_it(host: DiffusersHost, sampler: str) -> None:
    late = plan(sampler_name=sampler, **LATE)
    ran = host.execute(late, [5])
    (settings,) = ran.ran
    assert settings.num_steps == 8
    assert settings.sigmas is not None
    assert settings.improvements.cfg_cutoff_sigma > 0
    assert settings.gives_way == ()
    assert sum("8 steps instead of 14" in note for note in ran.notes) == 1
    assert np.array_equal(make(host, late.with_parameters(settings), 5)[0], pixels(ran.images[0]))
    again = host.execute(late, [5])
    assert again.ran == ran.ran


def test_batches_after_the_change_begin_with_it(host: DiffusersHost) -> None:
    late = plan(**LATE)
    steps: list[tuple[int, int]] = []
    ran = host.execute(late, [5, 6], lambda done, total: steps.append((done, total)))
    assert [each.num_steps for each in ran.ran] == [8, 8]
    assert steps[-1] == (16, 16)
    for seed, settings, image in zip((5, 6), ran.ran, ran.images, strict=True):
        assert np.array_equal(make(host, late.with_parameters(settings), seed)[0], pixels(image))


def test_late_run_is_only_told_where_nothing_may_change(host: DiffusersHost) -> None:
    ran = host.execute(plan(**LATE | {"gives_way": ()}), [5])
    assert ran.ran == ()
    assert sum("will be exceeded" in note for note in ran.notes) == 1
