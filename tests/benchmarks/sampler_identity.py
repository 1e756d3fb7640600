"""IntelligentSampler without improvements against the core KSampler, side by side in one real server: equal bytes?

Every core sampler, each with another core scheduler, runs in both, from nothing and from an image, one latent and
three. Then both run at equal settings in turns, which tells what ours costs on top.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ..comfyui.bench import Bench
from ..comfyui.graphs import CHECKPOINT
from .comfyui_server import serving
from .report import paired, parser, report

ENDLESS = {"dpm_adaptive"}
"""Chooses its own steps, as many as it takes: on random weights that has no end."""

CASES = tuple((denoise, count) for denoise in (1.0, 0.5) for count in (1, 3))
SIDE = 128
NOISELESS = ("euler", "heun", "dpmpp_2m", "ddim", "uni_pc_bh2", "deis")
AT_ONCE = 11
"""Pairs per prompt."""

TIMED = {"num_steps": 10, "width": 256, "height": 256, "sampler_name": "dpmpp_2m", "scheduler": "karras"}


def pairs(info: dict) -> list[tuple[str, str]]:
    """Every core sampler that ends, each with the next core scheduler in turn."""
    required = info["KSampler"]["input"]["required"]
    samplers, schedulers = (_options(required[name]) for name in ("sampler_name", "scheduler"))
    ending = [sampler for sampler in samplers if sampler not in ENDLESS]
    return [(sampler, schedulers[index % len(schedulers)]) for index, sampler in enumerate(ending)]


def _options(combo: list) -> list[str]:
    return combo[1]["options"] if combo[0] == "COMBO" else combo[0]


def compare(bench: Bench, some: list[tuple[str, str]]) -> dict[tuple[str, str, float, int], bool]:
    """Return whether both samplers give equal latents, by sampler, scheduler, denoise and batch."""
    found = {}
    for index, (sampler, scheduler) in enumerate(some):
        for denoise, count in CASES:
            key = f"{index}_{denoise}_{count}"
            latent = bench.empty(count)
            if denoise < 1:
                latent = bench.core(f"start_{count}", "euler", "normal", latent, seed=5)
            core = bench.core(f"core_{key}", sampler, scheduler, latent, denoise=denoise)
            ours = bench.ours(
                f"ours_{key}",
                {"sampler_name": sampler, "scheduler": scheduler},
                count,
                latent=latent,
                denoise=denoise,
            )
            found[(sampler, scheduler, denoise, count)] = bench.equal(f"equal_{key}", core, [ours, 1])
    shown = bench.run().outputs
    return {case: shown[key]["equal"][0] and shown[key]["finite"][0] for case, key in found.items()}


def together(bench: Bench, samplers: Sequence[str]) -> dict[str, float]:
    """Compare three images in one pass with the same images one by one: the largest difference of their latents,
    over `samplers`, which draw no noise, and the largest value of a latent beside it."""
    for sampler in samplers:
        changes = {"sampler_name": sampler, "scheduler": "karras"}
        bench.ours(f"alone_{sampler}", changes, 3)
        bench.ours(f"together_{sampler}", changes, 3, one_pass=True)
        bench.equal(f"equal_{sampler}", [f"alone_{sampler}", 1], [f"together_{sampler}", 1])
    shown = bench.run().outputs
    found = [shown[f"equal_{sampler}"] for sampler in samplers]
    return {
        "one_pass_apart": max(each["apart"][0] for each in found),
        "one_pass_largest": max(each["largest"][0] for each in found),
    }


def overhead(bench: Bench, runs: int) -> dict[str, float | bool]:
    """Measure the overhead of ours over KSampler and VAEDecode at equal settings: medians over pairs of runs."""
    bench.ours("ours", TIMED, vae=bench.vae)
    inputs = bench.sampler_inputs("ours")
    del bench.prompt["ours"]
    bench.add("overhead", "ProbeOverhead", **inputs, runs=runs)
    found = bench.run().outputs["overhead"]
    figures: dict[str, float | bool] = {"images_equal": found["equal"][0]}
    for clock in ("wall", "cpu"):
        core, ours = found[f"core_{clock}"], found[f"ours_{clock}"]
        figures[f"core_{clock}_seconds"] = statistics.median(core)
        figures[f"overhead_{clock}_percent"] = 100 * (paired(ours, core) - 1)
    return figures


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--runs", type=int, default=11, help="pairs of timed runs; 0: time nothing")
    arguments.add_argument("--pairs", type=int, default=1000, help="compare no more pairs than this")
    options = arguments.parse_args()
    with serving() as server:
        client = server.client
        every = pairs(client.object_info())[: options.pairs]
        found: dict[tuple[str, str, float, int], bool] = {}
        for first in range(0, len(every), AT_ONCE):
            found |= compare(Bench(client, side=SIDE, loader=CHECKPOINT), every[first : first + AT_ONCE])
        noiseless = NOISELESS[: options.pairs]
        apart = together(Bench(client, side=SIDE, loader=CHECKPOINT), noiseless) if noiseless else {}
        timed = overhead(Bench(client, side=SIDE, loader=CHECKPOINT), options.runs) if options.runs else {}
    different = [" ".join(map(str, case)) for case, same in found.items() if not same]
    report(
        {
            "pairs": len(every),
            "comparisons": len(found),
            "equal": sum(found.values()),
            "different": "; ".join(different),
            **apart,
            **timed,
        },
        options.json,
    )


if __name__ == "__main__":
    main()
