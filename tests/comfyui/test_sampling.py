"""IntelligentSampler beyond KSampler, compared with core nodes that have the same effect."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

from intelligence.parameters.schedules import schedule_sigmas

from .bench import AS_PLANNED, SETTINGS, Bench, generation, is_equal
from .client import Client, Run


@pytest.fixture
def bench(client: Client) -> Bench:
    return Bench(client)


def unguided(bench: Bench, key: str, model: list, start: float, end: float) -> list:
    """MODEL with core's CFGOverride: no guidance in a part of the training steps."""
    inputs = {"model": model, "cfg": 1.0, "start_percent": start, "end_percent": end}
    return [bench.add(key, "CFGOverride", **inputs), 0]


@pytest.mark.parametrize("denoise", [1.0, 0.5])
def test_latent_batch_with_mask_equals_ksampler(bench: Bench, denoise: float) -> None:
    """Three latents, of which a mask covers the left half; the last two of them again by their batch index."""
    start = bench.core("start", "euler", "normal", bench.empty(3), seed=5)
    half = bench.add("half", "SolidMask", value=1.0, width=32, height=64)
    whole = bench.add("whole", "SolidMask", value=0.0, width=64, height=64)
    mask = bench.add("mask", "MaskComposite", destination=[whole, 0], source=[half, 0], x=0, y=0, operation="add")
    masked = [bench.add("masked", "SetLatentNoiseMask", samples=start, mask=[mask, 0]), 0]
    cut = [bench.add("cut", "LatentFromBatch", samples=start, batch_index=1, length=2), 0]
    for key, latent in (("masked", masked), ("cut", cut)):
        core = bench.core(f"core_{key}", "euler_ancestral", "karras", latent, seed=9, denoise=denoise)
        changes = {"sampler_name": "euler_ancestral", "scheduler": "karras"}
        ours = bench.ours(f"ours_{key}", changes, seed=9, latent=latent, denoise=denoise)
        bench.equal(f"equal_{key}", core, [ours, 1])
    found = bench.run()
    assert is_equal(found, "equal_masked")
    assert is_equal(found, "equal_cut")
    assert found.outputs["equal_cut"]["shape"] == [[2, 4, 8, 8]]


def test_seeds_per_image_equal_single_runs(bench: Bench) -> None:
    changes = {"sampler_name": "euler_ancestral", "scheduler": "normal"}
    bench.ours("ours", changes, images=3, seed=5)
    bench.ours("asked", changes, images=3, seed=5, one_pass=True)
    bench.told("asked")
    bench.equal("equal_asked", ["ours", 1], ["asked", 1])
    for index in range(3):
        core = bench.core(f"core_{index}", "euler_ancestral", "normal", bench.empty(), seed=5 + index)
        row = [bench.add(f"row_{index}", "LatentFromBatch", samples=["ours", 1], batch_index=index, length=1), 0]
        bench.equal(f"equal_{index}", core, row)
    found = bench.run()
    assert all(is_equal(found, f"equal_{index}") for index in range(3))
    # One pass is refused where the sampler draws noise: the same images, and it is said.
    assert is_equal(found, "equal_asked")
    assert any("one by one" in note for note in generation(found, "asked")["notes"])


def test_latent_batch_shares_one_pass_under_any_plan(bench: Bench) -> None:
    """A plan for one image, three latents: nothing has to be split for memory."""
    bench.prompt["parameters"]["inputs"]["images"] = 1
    core = bench.core("core", "euler_ancestral", "normal", bench.empty(3), seed=4)
    bench.ours("ours", {"sampler_name": "euler_ancestral", "scheduler": "normal"}, latent=bench.empty(3), seed=4)
    bench.told("ours")
    bench.equal("equal", core, ["ours", 1])
    found = bench.run()
    assert is_equal(found)
    assert generation(found)["notes"] == []


def test_one_pass_equals_single_runs_within_rounding(bench: Bench) -> None:
    changes = {"sampler_name": "euler", "scheduler": "normal"}
    bench.ours("ours", changes, images=3, seed=5)
    bench.ours("together", changes, images=3, seed=5, one_pass=True)
    bench.told("together")
    bench.equal("equal", ["ours", 1], ["together", 1])
    found = bench.run()
    assert found.outputs["equal"]["apart"][0] < 0.02
    assert generation(found, "together")["forward_items"] == 3 * 3 * 2
    assert generation(found, "together")["seeds"] == [5, 6, 7]


SIX = {"sampler_name": "dpmpp_2m", "scheduler": "normal", "num_steps": 6}
"""Six steps, at sigmas 14.6, 5.09, 2.28, 1.16, 0.57 and 0.03."""


def test_cfg_cutoff_ends_guidance(bench: Bench) -> None:
    bench.ours("ours", SIX, cfg_cutoff=1.0)
    bench.told("ours")
    model = unguided(bench, "late", bench.model, 0.7, 1.0)  # from sigma 0.83 on
    core = bench.core("core", "dpmpp_2m", "normal", bench.empty(), model=model, steps=6)
    bench.equal("equal", core, ["ours", 1])
    bench.ours("plain", SIX)
    bench.equal("plain_equal", ["plain", 1], ["ours", 1])
    found = bench.run()
    assert is_equal(found)
    assert not is_equal(found, "plain_equal")
    told = generation(found)
    assert told["forward_items"] == 4 * 2 + 2
    assert told["plan"]["recommendations"]["suggested_params"]["forward_items"] == 4 * 2 + 2
    assert told["plan"]["recommendations"]["suggested_params"]["improvements"]["cfg_cutoff_sigma"] == 1.0


def test_cfg_start_and_cutoff_limit_guidance(bench: Bench) -> None:
    bench.ours("ours", {**SIX, "improvements": {"cfg_cutoff_sigma": 1.0, "cfg_start_sigma": 7.0}}, **AS_PLANNED)
    bench.told("ours")
    model = unguided(bench, "early", unguided(bench, "late", bench.model, 0.7, 1.0), 0.0, 0.1)  # down to sigma 8.7
    core = bench.core("core", "dpmpp_2m", "normal", bench.empty(), model=model, steps=6)
    bench.equal("equal", core, ["ours", 1])
    found = bench.run()
    assert is_equal(found)
    assert generation(found)["forward_items"] == 3 * 2 + 3


def test_cfg_cutoff_keeps_negative_prompt_for_cfg_pp(bench: Bench) -> None:
    bench.ours("ours", {"sampler_name": "euler_cfg_pp", "scheduler": "normal"}, cfg_cutoff=1000.0)
    bench.told("ours")
    core = bench.core("core", "euler_cfg_pp", "normal", bench.empty())
    bench.equal("equal", core, ["ours", 1])
    found = bench.run()
    assert is_equal(found)
    assert generation(found)["forward_items"] == 3 * 2


def test_rescale_cfg_equals_core(bench: Bench) -> None:
    bench.ours("ours", {"sampler_name": "euler", "scheduler": "normal", "rescale_cfg": 0.7}, **AS_PLANNED)
    rescaled = [bench.add("rescaled", "RescaleCFG", model=bench.model, multiplier=0.7), 0]
    core = bench.core("core", "euler", "normal", bench.empty(), model=rescaled)
    bench.equal("equal", core, ["ours", 1])
    assert is_equal(bench.run())


def test_easycache_equals_core_and_skips_are_not_counted(bench: Bench) -> None:
    bench.ours("ours", {"sampler_name": "euler", "scheduler": "normal", "num_steps": 10}, easycache=1.0)
    bench.told("ours")
    cached = [bench.add("cached", "EasyCache", model=bench.model, reuse_threshold=1.0), 0]
    core = bench.core("core", "euler", "normal", bench.empty(), model=cached, steps=10)
    bench.equal("equal", core, ["ours", 1])
    found = bench.run()
    assert is_equal(found)
    assert 2 * 2 <= generation(found)["forward_items"] < 10 * 2


@pytest.mark.parametrize("upstream", [True, False])
def test_easycache_replaces_planned_cutoff(bench: Bench, upstream: bool) -> None:
    """`upstream`: another node put EasyCache on the MODEL; otherwise our widget does."""
    cached = [bench.add("cached", "EasyCache", model=bench.model, reuse_threshold=1.0), 0]
    changes = {**SIX, "improvements": {"cfg_cutoff_sigma": 1.0}}
    own = {"model": cached} if upstream else {"easycache": 1.0}
    bench.ours("ours", changes, **{**AS_PLANNED, **own})
    core = bench.core("core", "dpmpp_2m", "normal", bench.empty(), model=cached, steps=6)
    bench.equal("equal", core, ["ours", 1])
    assert is_equal(bench.run())


def test_easycache_beside_cutoff_is_refused(bench: Bench) -> None:
    bench.ours("ours", cfg_cutoff=0.28, easycache=0.2)
    bench.told("ours")
    found = bench.client.run(bench.prompt)
    assert found.status == "error"
    assert "easycache must be" in found.error


@pytest.mark.parametrize(("steps", "denoise"), [(10, 1.0), (12, 1.0), (10, 0.5)])
def test_align_your_steps_equals_core(bench: Bench, steps: int, denoise: float) -> None:
    changes = {"sampler_name": "dpmpp_2m", "num_steps": steps, "sigmas": schedule_sigmas("ays", steps)}
    start = bench.core("start", "euler", "normal", bench.empty(), seed=5)
    bench.ours("ours", changes, latent=start, denoise=denoise)
    sigmas = [bench.add("ays", "AlignYourStepsScheduler", model_type="SDXL", steps=steps, denoise=denoise), 0]
    sampler = [bench.add("select", "KSamplerSelect", sampler_name="dpmpp_2m"), 0]
    custom = bench.add(
        "custom",
        "SamplerCustom",
        model=bench.model,
        positive=bench.positive,
        negative=bench.negative,
        latent_image=start,
        add_noise=True,
        noise_seed=1,
        cfg=SETTINGS["guidance_scale"],
        sampler=sampler,
        sigmas=sigmas,
    )
    bench.equal("equal", [custom, 0], ["ours", 1])
    assert is_equal(bench.run())


def test_time_limit_warning_comes_after_two_steps(bench: Bench) -> None:
    changes = {"sampler_name": "euler", "scheduler": "normal", "num_steps": 6}
    bench.ours("ours", {**changes, "max_time_seconds": 0.001})
    bench.told("ours")
    found = bench.run()
    ((steps, text),) = found.texts
    assert "will be exceeded" in text
    assert text in generation(found)["notes"]
    assert steps <= 2

    bench.ours("ours", {**changes, "max_time_seconds": 10_000}, seed=2)
    found = bench.run()
    assert found.texts == ()
    assert generation(found)["notes"] == []


def picture(client: Client, found: Run) -> list[np.ndarray]:
    return [
        np.asarray(Image.open(io.BytesIO(client.view(image))).convert("RGB"))
        for image in found.outputs["save"]["images"]
    ]


def test_model_that_gives_nan_is_an_error(bench: Bench) -> None:
    broken = [bench.add("broken", "ProbeBreaks", model=bench.model, how="nan", first=2), 0]
    bench.ours("ours", model=broken)
    bench.told("ours")
    found = bench.client.run(bench.prompt)
    assert found.status == "error"
    assert "not-a-number" in found.error


def test_good_images_beside_broken_one_are_kept(bench: Bench) -> None:
    broken = [bench.add("broken", "ProbeBreaks", model=bench.model, how="nan", first=3, end=6), 0]
    bench.ours("ours", images=3, model=broken, vae=bench.vae)
    bench.told("ours")
    bench.add("save", "SaveImage", images=["ours", 0], filename_prefix="tests/beside")
    found = bench.run()
    assert generation(found)["notes"] == ["image 2: sampling gave not-a-number; not a picture"]
    first, second, third = picture(bench.client, found)
    assert second.max() == 0
    assert min(first.std(), third.std()) > 5


def test_flat_latent_is_noted(bench: Bench) -> None:
    flat = [bench.add("flat", "ProbeBreaks", model=bench.model, how="flat"), 0]
    bench.ours("ours", model=flat)
    bench.told("ours")
    assert generation(bench.run())["notes"] == ["image 1: the latent is flat; nothing was painted"]


def test_images_are_taken_as_they_come_without_repair(bench: Bench) -> None:
    flat = [bench.add("flat", "ProbeBreaks", model=bench.model, how="flat"), 0]
    bench.ours("ours", model=flat, repair=False, seam_check=False)
    bench.told("ours")
    made = generation(bench.run())
    assert made["notes"] == []
    assert made["plan"]["switched_off"] == ["repair", "seam_check"]
    assert {step["kind"]: step["on"] for step in made["plan"]["postprocess"]}["repair"] is False


@pytest.mark.parametrize(
    ("sampler", "scheduler"),
    [("dpmpp_2m", "karras"), ("dpmpp_2m_sde", "normal"), ("uni_pc", "simple"), ("heun", "beta")],
)
def test_picked_seed_equals_uninterrupted_run(bench: Bench, sampler: str, scheduler: str) -> None:
    changes = {"sampler_name": sampler, "scheduler": scheduler, "num_steps": 8}
    bench.ours("ours", changes, seed=40, scout=3)
    bench.told("ours")
    found = bench.run()
    shown = found.outputs["ours"]
    assert [each["seed"] for each in shown["scouted"]] == [40, 41, 42]
    assert len(shown["images"]) == 3
    assert "ours_told" not in found.outputs
    scouted = shown["forward_items"][0]
    assert scouted % 3 == 0

    bench.ours("ours", changes, seed=40, scout=3, pick=2)
    bench.ours("whole", changes, seed=41)
    bench.told("whole")
    bench.equal("equal", ["ours", 1], ["whole", 1])
    found = bench.run()
    assert is_equal(found)
    picked, whole = generation(found), generation(found, "whole")
    assert picked["seeds"] == [41]
    assert picked["forward_items"] == whole["forward_items"] - scouted // 3
    assert f"which took {scouted} passes of the model" in picked["notes"][0]


def test_best_of_equals_that_seed_alone(bench: Bench) -> None:
    """Without ratings the first of them; another can be finished afterwards from where trying it ended."""
    changes = {"sampler_name": "dpmpp_2m", "num_steps": 8}
    bench.ours("ours", changes, seed=80, best_of=3)
    bench.told("ours")
    bench.ours("whole", changes, seed=80)
    bench.told("whole")
    bench.equal("equal", ["ours", 1], ["whole", 1])
    found = bench.run()
    assert is_equal(found)
    best, whole = generation(found), generation(found, "whole")
    told = best["best_of"]
    assert (best["seeds"], told["seeds"], told["finished"]) == ([80], [80, 81, 82], 0)
    assert told["forward_items"] == 3 * told["kept_items"] > 0
    assert best["forward_items"] == whole["forward_items"] - told["kept_items"]
    assert len(best["image_looks"]) == 1
    assert whole["best_of"] is None

    bench.ours("ours", changes, seed=80, scout=3, pick=2)
    picked = generation(bench.run())
    assert (picked["seeds"], picked["best_of"]) == ([81], None)
    assert picked["forward_items"] == best["forward_items"]


def test_pick_without_scouting_samples_from_start(bench: Bench) -> None:
    bench.ours("ours", {"num_steps": 4}, seed=60, scout=2, pick=1)
    bench.told("ours")
    bench.ours("whole", {"num_steps": 4}, seed=60)
    bench.equal("equal", ["ours", 1], ["whole", 1])
    found = bench.run()
    assert is_equal(found)
    assert generation(found)["notes"] == ["nothing scouted is kept for these inputs: sampled from the start"]


def test_pick_beyond_scouted_seeds_is_refused(bench: Bench) -> None:
    bench.ours("ours", scout=2, pick=3)
    bench.told("ours")
    found = bench.client.run(bench.prompt)
    assert found.status == "error"
    assert "only 2 seeds" in found.error


def test_interrupt_stops_run_and_next_equals_ksampler(bench: Bench) -> None:
    bench.ours("ours", {"num_steps": 1000, "sampler_name": "euler"}, cfg_cutoff=0.28)
    bench.told("ours")
    queued = bench.client.queue(bench.prompt)
    bench.client.wait_until_running()
    time.sleep(1)
    bench.client.interrupt()
    events = [event for event, _ in bench.client.wait(queued["prompt_id"], 60)["status"]["messages"]]
    assert events[-1] == "execution_interrupted"

    after = Bench(bench.client)
    core = after.core("core", "euler", "normal", after.empty(), seed=3)
    after.ours("ours", {"sampler_name": "euler", "scheduler": "normal"}, seed=3)
    after.equal("equal", core, ["ours", 1])
    assert is_equal(after.run())


def test_interrupts_leak_no_more_than_core(bench: Bench) -> None:
    """Of a MODEL that was patched core keeps a small trace of every run."""
    bench.model = [bench.add("patched", "RescaleCFG", model=bench.model, multiplier=0.0), 0]
    bench.interrupts(30)
    found = bench.run()
    core, shown = (found.outputs["interrupts"][who][0] for who in ("core", "ours"))
    assert shown["interrupted"] == 30
    assert shown["most_calls"] == 2
    for what in ("tensors", "models", "loaded_models", "threads"):
        assert shown["late"][what] <= shown["early"][what], what
    assert shown["objects_per_run"] < core["objects_per_run"] + 0.5
    assert is_equal(found)
