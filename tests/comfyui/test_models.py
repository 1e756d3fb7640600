"""Every class of model: our chain of nodes with the model's settings beside core's KSampler, and saving."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from intelligence.parameters.schedules import explicit_sigmas

from .bench import PLAIN, generation, is_equal
from .client import Run
from .lab_bench import Lab
from .server import Server

KINDS = (
    "sd15",
    "sd2",
    "sdxl",
    "refiner",
    "sd3",
    "flux",
    "schnell",
    "flux2",
    "lumina2",
    "zimage",
    "qwen",
    "wan",
    "wan22",
)


def records(server: Server, found: Run, key: str = "ours") -> list[dict[str, Any]]:
    """The JSON that was saved beside each image."""
    files = found.outputs[f"{key}_saved"]["images"]
    paths = [server.base / "output" / file["subfolder"] / file["filename"] for file in files]
    assert all(path.is_file() for path in paths)
    return [json.loads(path.with_suffix(".json").read_text()) for path in paths]


@pytest.mark.parametrize("kind", KINDS)
def test_chain_equals_ksampler_and_counts_passes(server: Server, kind: str) -> None:
    lab = Lab(server.client, kind)
    lab.ours("ours", **PLAIN)
    lab.saved("ours")
    (record,) = records(server, lab.run())
    assert (record["seed"], record["image_index"]) == (1, 0)

    settings = record["plan"]["recommendations"]["suggested_params"]
    guided = {}
    if settings["guidance"] is not None:
        inputs = {"conditioning": lab.positive, "guidance": settings["guidance"]}
        guided = {"positive": [lab.add("guided", "FluxGuidance", **inputs), 0]}
    sampler = lab.custom if settings["sigmas"] else lab.core
    lab.equal("equal", sampler("core", "ours", **guided), ["ours", 1])
    assert is_equal(lab.run())

    counting = Lab(server.client, kind)
    counting.ours("ours", seed=2)
    assert_foretold(counting)


def assert_foretold(lab: Lab) -> dict[str, Any]:
    """Run the sampler "ours", whose passes must be counted as foretold: its GENERATION."""
    lab.counted("ours")
    lab.told("ours")
    found = lab.run()
    told = generation(found)
    assert told["forward_items"] == found.outputs["counted"]["items"][0] > 0
    foretold = told["plan"]["recommendations"]["suggested_params"]
    low, high = foretold["forward_items_interval"] or [foretold["forward_items"]] * 2
    assert low <= told["forward_items"] <= high
    return told


FEW = {"steps": 3, "cfg": 4.0, "sampler": "euler", "scheduler": "normal"}


def patched(lab: Lab, node: str, **inputs: Any) -> dict[str, Any]:
    """Settings with the MODEL behind one of core's nodes."""
    return {**FEW, "model": [lab.add(node, node, model=lab.model, **inputs), 0]}


def combined(lab: Lab, count: int) -> list[Any]:
    """So many conditionings in one."""
    link = lab.positive
    for seed in range(3, 2 + count):
        more = [lab.add(f"more_{seed}", "LabConditioning", kind=lab.kind, seed=seed), 0]
        link = [lab.add(f"both_{seed}", "ConditioningCombine", conditioning_1=link, conditioning_2=more), 0]
    return link


def in_area(lab: Lab, link: list[Any], x: int) -> list[Any]:
    return [lab.add(f"area_{x}", "ConditioningSetArea", conditioning=link, width=64, height=128, x=x, y=0), 0]


def masked(lab: Lab, link: list[Any]) -> list[Any]:
    mask = [lab.add("mask", "SolidMask", value=0.5, width=64, height=64), 0]
    return [lab.add("masked", "ConditioningSetMask", conditioning=link, mask=mask, set_cond_area="mask bounds"), 0]


def in_time(lab: Lab, link: list[Any], start: float, end: float) -> list[Any]:
    inputs = {"conditioning": link, "start": start, "end": end}
    return [lab.add(f"time_{start}", "ConditioningSetTimestepRange", **inputs), 0]


def both(lab: Lab, one: list[Any], other: list[Any]) -> list[Any]:
    return [lab.add("both", "ConditioningCombine", conditioning_1=one, conditioning_2=other), 0]


Case = Callable[[Lab], tuple[dict[str, Any], dict[str, Any]]]
"""Graph → (settings of ParamOptimize, inputs of the sampler)."""

CASES: dict[str, tuple[str, Case]] = {
    "PAG": ("sd15", lambda lab: (patched(lab, "PerturbedAttentionGuidance"), {})),
    "PAG, scale 0": ("sd15", lambda lab: (patched(lab, "PerturbedAttentionGuidance", scale=0.0), {})),
    "PAG, cutoff": ("sdxl", lambda lab: (patched(lab, "PerturbedAttentionGuidance"), {"cfg_cutoff": 3.0})),
    "PAG, cfg 1": ("sd15", lambda lab: (patched(lab, "PerturbedAttentionGuidance") | {"cfg": 1.0}, {})),
    "PAG, several": (
        "sd15",
        lambda lab: (patched(lab, "PerturbedAttentionGuidance"), {"positive": combined(lab, 3)}),
    ),
    "SAG": ("sd15", lambda lab: (patched(lab, "SelfAttentionGuidance"), {})),
    "SAG, cfg 1": ("sd15", lambda lab: (patched(lab, "SelfAttentionGuidance") | {"cfg": 1.0}, {})),
    "SAG, cutoff": ("sd15", lambda lab: (patched(lab, "SelfAttentionGuidance"), {"cfg_cutoff": 3.0})),
    "NAG": ("flux", lambda lab: (patched(lab, "NAGuidance") | {"cfg": 1.0}, {})),
    "NAG, cfg": ("sd15", lambda lab: (patched(lab, "NAGuidance"), {})),
    "PerpNeg": ("sd15", lambda lab: (patched(lab, "PerpNeg", empty_conditioning=lab.negative), {})),
    "PerpNeg, cfg 1": (
        "sd15",
        lambda lab: (patched(lab, "PerpNeg", empty_conditioning=lab.negative) | {"cfg": 1.0}, {}),
    ),
    "SLG": (
        "sd3",
        lambda lab: (
            patched(lab, "SkipLayerGuidanceDiT", double_layers="0", start_percent=0.2, end_percent=0.8) | {"steps": 6},
            {},
        ),
    ),
    "RescaleCFG": ("sd15", lambda lab: (patched(lab, "RescaleCFG"), {})),
    "two conditionings": ("sd15", lambda lab: (FEW, {"positive": combined(lab, 2)})),
    "five conditionings": ("sdxl", lambda lab: (FEW, {"positive": combined(lab, 5)})),
    "three of Flux": ("flux", lambda lab: (FEW | {"cfg": 1.0}, {"positive": combined(lab, 3)})),
    "an area": ("sd15", lambda lab: (FEW, {"positive": both(lab, lab.positive, in_area(lab, lab.positive, 64))})),
    "two areas": (
        "sd15",
        lambda lab: (FEW, {"positive": both(lab, in_area(lab, lab.positive, 0), in_area(lab, lab.positive, 64))}),
    ),
    "a mask": ("sd15", lambda lab: (FEW, {"positive": both(lab, lab.positive, masked(lab, lab.positive))})),
    "a time": (
        "sd15",
        lambda lab: (FEW | {"steps": 6}, {"positive": both(lab, lab.positive, in_time(lab, lab.positive, 0.3, 0.7))}),
    ),
    "times, Heun": (
        "sd15",
        lambda lab: (
            FEW | {"steps": 6, "sampler": "heun"},
            {"positive": both(lab, lab.positive, in_time(lab, lab.positive, 0.5, 1.0))},
        ),
    ),
    "cfg 0.5": ("sd15", lambda lab: (FEW | {"cfg": 0.5}, {})),
    "cfg 0.5 of Flux": ("flux", lambda lab: (FEW | {"cfg": 0.5}, {})),
    "dpm_2, cutoff": ("sd15", lambda lab: (FEW | {"steps": 6, "sampler": "dpm_2"}, {"cfg_cutoff": 1.0})),
    "heunpp2": ("sd15", lambda lab: (FEW | {"steps": 5, "sampler": "heunpp2"}, {"cfg_cutoff": 2.0})),
    "euler_cfg_pp": ("sd15", lambda lab: (FEW | {"sampler": "euler_cfg_pp"}, {"cfg_cutoff": 2.0})),
    "seeds_3 of SD3": ("sd3", lambda lab: (FEW | {"steps": 4, "sampler": "seeds_3"}, {})),
    "another pack's": ("sd15", lambda lab: (FEW | {"sampler": "lab_heun", "scheduler": "lab_beta57"}, {})),
    "three images": ("sd15", lambda lab: (FEW | {"images": 3}, {})),
    "one seed's batch": ("sd15", lambda lab: (FEW | {"images": 2}, {"seeds_per_image": False})),
    "part of a latent": (
        "sd15",
        lambda lab: (FEW | {"steps": 4}, {"latent": lab.latent("start", [2, 4, 8, 8]), "denoise": 0.5}),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_passes_are_counted_as_foretold(server: Server, case: str) -> None:
    kind, graph = CASES[case]
    lab = Lab(server.client, kind, side=128)
    settings, inputs = graph(lab)
    lab.ours("ours", settings, **inputs)
    told = assert_foretold(lab)
    assert told["plan"]["recommendations"]["suggested_params"]["forward_items_interval"] is None


@pytest.mark.parametrize("kind", ["sd15", "flux"])
def test_adaptive_sampler_is_foretold_as_a_span(server: Server, kind: str) -> None:
    lab = Lab(server.client, kind)
    lab.ours("ours", FEW | {"sampler": "dpm_adaptive"})
    told = assert_foretold(lab)
    low, high = told["plan"]["recommendations"]["suggested_params"]["forward_items_interval"]
    assert low < high


def test_sampler_and_scheduler_of_another_pack_work_end_to_end(server: Server) -> None:
    lab = Lab(server.client, "sdxl")
    lab.ours("ours", {"steps": 4, "sampler": "lab_heun", "scheduler": "lab_beta57"}, **PLAIN)
    lab.equal("equal", lab.core("core", "ours"), ["ours", 1])
    lab.saved("ours")
    found = lab.run()
    assert is_equal(found)
    (record,) = records(server, found)
    settings = record["plan"]["recommendations"]["suggested_params"]
    assert (settings["sampler_name"], settings["scheduler"]) == ("lab_heun", "lab_beta57")


@pytest.mark.parametrize("kind", ["sd15", "flux", "sd3", "wan"])
def test_odd_latent_equals_ksampler(server: Server, kind: str) -> None:
    """Sides of 9 and 11 values, which no patch of 2 divides."""
    lab = Lab(server.client, kind)
    shape = [1, 4 if kind == "sd15" else 16, *([1] if kind == "wan" else []), 9, 11]
    start = lab.latent("start", shape)
    lab.ours("ours", FEW, latent=start, denoise=0.7, **PLAIN)
    lab.equal("equal", lab.core("core", "ours", latent_image=start, denoise=0.7), ["ours", 1])
    lab.saved("ours")
    found = lab.run()
    assert is_equal(found)
    (record,) = records(server, found)
    settings = record["plan"]["recommendations"]["suggested_params"]
    assert (settings["width"], settings["height"]) == (88, 72)


@pytest.mark.parametrize("kind", ["flux2", "wan22"])
def test_core_empty_latent_has_the_size_that_is_decoded(server: Server, kind: str) -> None:
    """Core's empty latent of 128 px is twice as large as a model of 16 px to a value takes."""
    lab = Lab(server.client, kind, side=128)
    empty = [lab.add("empty", "EmptyLatentImage", width=128, height=128), 0]
    lab.ours("ours", FEW, latent=empty, **PLAIN)
    lab.equal("equal", lab.core("core", "ours"), ["ours", 1])
    lab.add("shown", "LabImages", one=["ours", 0])
    lab.told("ours")
    found = lab.run()
    assert is_equal(found)
    assert found.outputs["shown"]["shape"] == [[1, 128, 128, 3]]
    settings = generation(found)["plan"]["recommendations"]["suggested_params"]
    assert (settings["width"], settings["height"]) == (128, 128)


def test_frames_of_a_video_latent_are_all_saved(server: Server) -> None:
    lab = Lab(server.client, "wan")
    lab.ours("ours", FEW, latent=lab.latent("start", [2, 16, 3, 8, 8]))
    lab.saved("ours")
    found = lab.run()
    assert [record["image_index"] for record in records(server, found)] == [0, 0, 0, 1, 1, 1]


def test_video_is_decoded_by_its_own_vae(server: Server) -> None:
    lab = Lab(server.client, "wan")
    lab.vae = [lab.add("video_vae", "LabVAE", kind="wan"), 0]
    lab.ours("ours", FEW, latent=lab.latent("start", [1, 16, 3, 8, 8]))
    lab.saved("ours")
    lab.add("decoded", "VAEDecode", samples=["ours", 1], vae=lab.vae)
    lab.add("shown", "LabImages", one=["ours", 0], other=["decoded", 0])
    found = lab.run()
    assert found.outputs["shown"]["equal"] == [True]
    assert [record["image_index"] for record in records(server, found)] == [0] * 9


def test_one_image_of_a_batch_is_saved_as_itself(server: Server) -> None:
    lab = Lab(server.client, "sd15")
    lab.ours("ours", FEW | {"images": 3}, seed=7)
    one = [lab.add("one", "ImageFromBatch", image=["ours", 0], batch_index=1, length=1), 0]
    lab.saved("ours", one)
    (record,) = records(server, lab.run())
    assert (record["image_index"], record["seed"]) == (1, 8)


def test_chains_in_a_row_save_what_each_of_them_made(server: Server) -> None:
    """The second goes on from the first one's latent; then both pictures in one batch."""
    lab = Lab(server.client, "sd15")
    lab.ours("ours", FEW)
    lab.ours("again", FEW, latent=["ours", 1], denoise=0.5, seed=5)
    lab.saved("ours")
    together = [lab.add("together", "ImageBatch", image1=["ours", 0], image2=["again", 0]), 0]
    lab.saved("again", together)
    found = lab.run()
    assert [record["image_index"] for record in records(server, found)] == [0]
    merged = records(server, found, "again")
    assert [record["image_index"] for record in merged] == [None, 0]
    assert merged[1]["seed"] == 5


def test_saving_again_keeps_the_files_of_before(server: Server) -> None:
    names = []
    for seed in (1, 2):
        lab = Lab(server.client, "sd15")
        lab.ours("ours", FEW, seed=seed)
        lab.saved("ours", filename_prefix="lab/batch_%batch_num%")
        found = lab.run()
        names += [file["filename"] for file in found.outputs["ours_saved"]["images"]]
        records(server, found)
    assert len(set(names)) == 2


@pytest.mark.parametrize("kind", ["own", "RescaleCFG"])
def test_function_of_another_node_stays_on_the_model(server: Server, kind: str) -> None:
    """A plan with RescaleCFG and a cutoff yields to it, and says so."""
    lab = Lab(server.client, "sdxl")
    node, inputs = ("LabCfgFunction", {}) if kind == "own" else ("RescaleCFG", {"multiplier": 0.3})
    lab.ours("ours", patched(lab, node, **inputs), rescale_cfg=0.7)
    lab.equal("equal", lab.core("core", "ours"), ["ours", 1])
    lab.told("ours")
    found = lab.run()
    assert is_equal(found)
    told = generation(found)
    assert told["plan"]["recommendations"]["suggested_params"]["rescale_cfg"] == 0
    assert len(told["notes"]) == 1


@pytest.mark.parametrize(
    ("kind", "sampler", "inputs"),
    [
        ("sdxl", "dpmpp_2m", {}),
        ("sd15", "dpmpp_2m_sde", {}),
        ("sd15", "heun", {"batch": 2}),
        ("qwen", "euler", {}),
        ("sdxl", "euler_ancestral", {"denoise": 0.6}),
    ],
)
def test_late_run_is_changed_and_its_record_repeats_it(
    server: Server, kind: str, sampler: str, inputs: dict[str, Any]
) -> None:
    """A limit that no run holds: guidance ends and the steps become fewer after the second step, until 8 are left."""
    changes = {
        "max_time_seconds": 0.01,
        "gives_way": ["guidance", "steps"],
        "num_steps": 16,
        "guidance_scale": 4.0,
        "sampler_name": sampler,
        "scheduler": "normal",
        "batch_size": inputs.get("batch", 1),
        "sigmas": None,
        "schedule": None,
    }
    lab = Lab(server.client, kind)
    start = {}
    if "denoise" in inputs:
        start = {"latent": lab.latent("start", [1, 4, 8, 8]), "denoise": inputs["denoise"]}
    lab.ours("ours", {"images": 2}, **start)
    lab.changed("ours", changes)
    lab.counted("ours")
    lab.told("ours")
    lab.saved("ours")
    found = lab.run()
    told, file = generation(found), records(server, found)[0]
    ran = file["plan"]["recommendations"]["suggested_params"]
    assert ran["improvements"]["cfg_cutoff_sigma"] > 0
    assert ran["gives_way"] == []
    sampled = 8 if "denoise" not in inputs else round(ran["num_steps"] * inputs["denoise"])
    assert sampled == 8
    assert len(ran["sigmas"]) == ran["num_steps"] + 1
    assert told["forward_items"] == found.outputs["counted"]["items"][0]
    assert any("8 steps" in note for note in told["notes"])
    assert any("will be exceeded" in note for note in told["notes"])

    again = Lab(server.client, kind)
    again.ours("ours", {"images": 2}, **start_of(again, start))
    again.changed("ours", changes)
    names = ("sigmas", "num_steps", "improvements", "gives_way", "max_time_seconds")
    again.ours("repeat", {"images": 2}, **start_of(again, start))
    again.changed("repeat", changes | {name: ran[name] for name in names})
    again.equal("equal", ["ours", 1], ["repeat", 1])
    assert is_equal(again.run())


def start_of(lab: Lab, start: dict[str, Any]) -> dict[str, Any]:
    return {**start, "latent": lab.latent("start", [1, 4, 8, 8])} if start else {}


@pytest.mark.parametrize("inputs", [{"hold_time_limit": False}, {"easycache": 0.2}])
def test_late_run_is_only_told_where_nothing_may_change(server: Server, inputs: dict[str, Any]) -> None:
    lab = Lab(server.client, "sdxl")
    lab.ours("ours", {"steps": 12, "sampler": "euler", "scheduler": "normal"}, **inputs)
    lab.changed("ours", {"max_time_seconds": 0.01, "gives_way": ["guidance", "steps"]})
    lab.told("ours")
    told = generation(lab.run())
    settings = told["plan"]["recommendations"]["suggested_params"]
    assert (settings["num_steps"], settings["sigmas"]) == (12, None)
    assert [note for note in told["notes"] if "will be exceeded" in note]


@pytest.mark.parametrize(
    ("kind", "node", "shift"),
    [("qwen", "ModelSamplingAuraFlow", 3.1), ("sd3", "ModelSamplingSD3", 5.0), ("wan", "ModelSamplingSD3", 5.0)],
)
def test_planned_shift_equals_core_node_and_yields_to_it(server: Server, kind: str, node: str, shift: float) -> None:
    lab = Lab(server.client, kind)
    lab.ours("ours", FEW, **PLAIN)
    lab.changed("ours", {"shift": shift})
    shifted = [lab.add("shifted", node, model=lab.model, shift=shift), 0]
    lab.equal("equal", lab.core("core", "ours", model=shifted), ["ours", 1])
    lab.ours("theirs", FEW | {"model": shifted}, **PLAIN)
    lab.changed("theirs", {"shift": 1.7})
    lab.told("theirs")
    lab.equal("their_equal", ["core", 0], ["theirs", 1])
    found = lab.run()
    assert is_equal(found)
    assert is_equal(found, "their_equal")
    told = generation(found, "theirs")
    assert told["plan"]["recommendations"]["suggested_params"]["shift"] == shift
    assert len(told["notes"]) == 1


def test_planned_guidance_equals_core_node_and_yields_to_it(server: Server) -> None:
    lab = Lab(server.client, "flux")
    settings = FEW | {"cfg": 1.0}
    lab.ours("ours", settings, **PLAIN)
    lab.changed("ours", {"guidance": 2.0})
    guided = [lab.add("guided", "FluxGuidance", conditioning=lab.positive, guidance=2.0), 0]
    lab.equal("equal", lab.core("core", "ours", positive=guided), ["ours", 1])
    lab.ours("theirs", settings, positive=guided, **PLAIN)
    lab.changed("theirs", {"guidance": 6.0})
    lab.told("theirs")
    lab.equal("their_equal", ["core", 0], ["theirs", 1])
    lab.ours("none", settings, **PLAIN)
    lab.changed("none", {"guidance": None})
    lab.equal("other", ["core", 0], ["none", 1])
    found = lab.run()
    assert is_equal(found)
    assert is_equal(found, "their_equal")
    assert not is_equal(found, "other")
    told = generation(found, "theirs")
    assert told["plan"]["recommendations"]["suggested_params"]["guidance"] == 2.0
    assert len(told["notes"]) == 1


@pytest.mark.parametrize("side", [128, 256])
def test_flux2_schedule_equals_core_scheduler(server: Server, side: int) -> None:
    """At the size that is sampled, a latent's before the plan's."""
    lab = Lab(server.client, "flux2", side=128)
    steps = 4
    latent = [lab.add("empty", "EmptyFlux2LatentImage", width=side, height=side, batch_size=1), 0]
    lab.ours("ours", FEW | {"steps": steps, "cfg": 1.0}, latent=latent, **PLAIN)
    lab.changed("ours", {"schedule": "flux2", "sigmas": explicit_sigmas("flux2", steps, 128, 128)})
    sigmas = [lab.add("sigmas", "Flux2Scheduler", steps=steps, width=side, height=side), 0]
    lab.equal("equal", lab.custom("core", "ours", latent_image=latent, sigmas=sigmas), ["ours", 1])
    assert is_equal(lab.run())
