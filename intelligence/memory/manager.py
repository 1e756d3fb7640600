"""Fits a job onto the device: predicts its peaks, picks the fastest plan that fits, and measures what it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock

from ..config import MemorySettings, OffloadStrategy, require
from ..records import Reason
from ..registry import Architecture
from . import figures
from .plan import MemoryPlan, Resources
from .resources import PeakCounter, detect_resources, peak_counter

TILE = 512
"""Pixels a side. diffusers' own default, the sample size of 1024, saves nothing at 1024²."""

FASTEST_FIRST = (OffloadStrategy.FULL_GPU, OffloadStrategy.CPU_OFFLOAD, OffloadStrategy.SEQUENTIAL)

MEANING = {
    OffloadStrategy.FULL_GPU: "all weights stay on the device",
    OffloadStrategy.CPU_OFFLOAD: "one whole model at a time is on the device",
    OffloadStrategy.SEQUENTIAL: "weights stream to the device module by module, which is slow",
}


@dataclass
class Usage:
    """What a tracked block took; final after the block."""

    peak_vram_gb: float = 0.0
    """GiB on the device; 0 on a CPU, which has no counter."""


class MemoryManager:
    """What the machine has, what a job needs, and the plan that fits one onto the other."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._counter: PeakCounter | None = None
        self._active: list[Usage] = []
        self._last = Usage()

    def detect_resources(self) -> Resources:
        """The device that will sample and the memory at hand now (GiB)."""
        return detect_resources()

    @contextmanager
    def track_usage(self) -> Iterator[Usage]:
        """Measure the peak device memory of a block; blocks may nest."""
        usage = Usage()
        with self._lock:
            if self._counter is None:
                self._counter = peak_counter(self.detect_resources().device)
            self._collect()
            self._active.append(usage)
            self._counter.reset()
        try:
            yield usage
        finally:
            with self._lock:
                self._collect()
                self._active.remove(usage)
                self._last = usage

    def get_peak_vram_usage(self) -> float:
        """Peak device memory (GiB) of the tracked block that runs, or of the last one."""
        with self._lock:
            self._collect()
            return (self._active[-1] if self._active else self._last).peak_vram_gb

    def _collect(self) -> None:
        peak = self._counter.peak_gb() if self._counter is not None and self._active else 0.0
        for usage in self._active:
            usage.peak_vram_gb = max(usage.peak_vram_gb, peak)

    def predict(
        self,
        width: int,
        height: int,
        batch_size: int = 1,
        *,
        architecture: Architecture = Architecture.SDXL,
        cfg: bool = True,
        strategy: OffloadStrategy = OffloadStrategy.FULL_GPU,
        tile_size: int = 0,
        weights_gb: Mapping[str, float] | None = None,
        device: str = "cuda",
        vae_dtype: str = "float32",
    ) -> dict[str, float]:
        """Peak of each stage (`text`, `unet`, `vae`) in GiB.

        Args:
            tile_size: side of a VAE tile in pixels; 0: decode whole.
            weights_gb: true sizes by stage where the host knows them.
            vae_dtype: on a GPU `float32` (diffusers decodes SDXL so), `float16` or `bfloat16` (ComfyUI on recent GPUs).
        """
        _check(width, height, batch_size, weights_gb, vae_dtype)
        if device == "cpu":
            vae_dtype = "float32"
        return figures.predict(
            width,
            height,
            batch_size,
            architecture=architecture,
            cfg=cfg,
            strategy=strategy,
            tile_size=tile_size,
            weights_gb=figures.weights(architecture, device, vae_dtype, weights_gb),
            device=device,
            vae_dtype=vae_dtype,
        )

    def plan(
        self,
        width: int,
        height: int,
        images: int = 1,
        *,
        architecture: Architecture = Architecture.SDXL,
        cfg: bool = True,
        settings: MemorySettings | None = None,
        max_vram_gb: float | None = None,
        tile_size: int | None = None,
        weights_gb: Mapping[str, float] | None = None,
        resources: Resources | None = None,
        parallel: bool = True,
        vae_dtype: str = "float32",
    ) -> MemoryPlan:
        """The fastest plan that fits the smallest of `max_vram_gb`, the settings' limit and what is free.

        Tried in this order: everything on the device, the VAE decoded in tiles of 512, smaller forward batches, then
        the same with whole models offloaded, then with modules streamed. On a CPU or MPS the memory is shared, so
        there is nothing to offload; a CPU's budget is the free RAM, whatever the limits on VRAM say. A job that
        nothing fits comes back with `fits=False` as the plan that comes nearest.

        Args:
            tile_size: side of a VAE tile in pixels, 0 to decode whole; None: decided here.
            parallel: whether several images may share a forward batch.

        Raises:
            InvalidInputError: a size, count or limit that cannot be.
        """
        _check(width, height, images, weights_gb, vae_dtype)
        settings = settings or MemorySettings()
        resources = resources or self.detect_resources()
        budget, budget_reason = _budget(resources, settings, max_vram_gb)
        candidates = [
            self._candidate(width, height, batch, architecture, cfg, strategy, tile, weights_gb, resources, vae_dtype)
            for strategy in _strategies(settings.offload_strategy, resources.device)
            for batch in _batches(images if parallel else 1)
            for tile in ([tile_size] if tile_size is not None else [0, TILE] if width * height > TILE**2 else [0])
        ]
        fitting = [plan for plan in candidates if budget is None or plan.predicted_peak_gb <= budget]
        chosen = fitting[0] if fitting else min(candidates, key=lambda plan: plan.predicted_peak_gb)
        reasons = [budget_reason, *_reasons(chosen, candidates, settings.offload_strategy, images)]
        if not fitting:
            reasons.append(
                Reason(
                    "fits",
                    f"even the smallest plan ({chosen.strategy.value}, batch {chosen.batch_size}) needs about "
                    f"{chosen.predicted_peak_gb:.1f} GiB of {budget:.1f}: choose a smaller size, free memory, "
                    + (
                        "or let AUTO offload"
                        if settings.offload_strategy is not OffloadStrategy.AUTO
                        else "or a limit above it"
                    ),
                )
            )
        return MemoryPlan(
            strategy=chosen.strategy,
            device=resources.device,
            tile_size=chosen.tile_size,
            batch_size=chosen.batch_size,
            predicted_peak_gb=chosen.predicted_peak_gb,
            budget_gb=budget,
            fits=bool(fitting),
            stages=chosen.stages,
            reasons=tuple(reasons),
        )

    def _candidate(
        self,
        width: int,
        height: int,
        batch: int,
        architecture: Architecture,
        cfg: bool,
        strategy: OffloadStrategy,
        tile: int,
        weights_gb: Mapping[str, float] | None,
        resources: Resources,
        vae_dtype: str,
    ) -> MemoryPlan:
        stages = self.predict(
            width,
            height,
            batch,
            architecture=architecture,
            cfg=cfg,
            strategy=strategy,
            tile_size=tile,
            weights_gb=weights_gb,
            device=resources.device,
            vae_dtype=vae_dtype,
        )
        return MemoryPlan(strategy, resources.device, tile, batch, max(stages.values()), stages=stages)


def _check(width: int, height: int, images: int, weights_gb: Mapping[str, float] | None, vae_dtype: str) -> None:
    for name, value in (("width", width), ("height", height), ("images", images)):
        require(
            isinstance(value, int) and not isinstance(value, bool) and value >= 1,
            f"{name} must be an integer of 1 or more, got {value!r}",
        )
    unknown = set(weights_gb or {}) - set(figures.STAGES)
    require(not unknown, f"weights_gb knows {', '.join(figures.STAGES)}, not {', '.join(sorted(unknown))}")
    known = figures.VAE_PER_MEGAPIXEL
    require(vae_dtype in known, f"vae_dtype must be one of {', '.join(known)}, got {vae_dtype!r}")


def _budget(resources: Resources, settings: MemorySettings, max_vram_gb: float | None) -> tuple[float | None, Reason]:
    if resources.device == "cpu":
        free = resources.ram_free_gb or None
        text = f"{free:.1f} GiB of RAM are free" if free else "free RAM could not be read, so no limit is known"
        return free, Reason("budget", f"{text}; the CPU samples, so limits on VRAM do not apply")
    named = {
        f"{resources.free_gb:.1f} GiB are free on {resources.name}": resources.free_gb,
        "limit of the memory settings": settings.max_vram_gb,
        "limit of this generation": max_vram_gb,
    }
    text, budget = min(((text, gb) for text, gb in named.items() if gb is not None), key=lambda item: item[1])
    others = f"{resources.free_gb:.1f} GiB, what is free" if budget != resources.free_gb else None
    return budget, Reason("budget", f"{budget:.1f} GiB: {text}", otherwise=others)


def _strategies(asked: OffloadStrategy, device: str) -> tuple[OffloadStrategy, ...]:
    if device != "cuda":
        return (OffloadStrategy.FULL_GPU,)
    return FASTEST_FIRST if asked is OffloadStrategy.AUTO else (asked,)


def _batches(images: int) -> list[int]:
    """Forward batch sizes worth trying, largest first: the even splits of `images`."""
    return sorted({-(-images // parts) for parts in range(1, images + 1)}, reverse=True)


def _reasons(chosen: MemoryPlan, candidates: list[MemoryPlan], asked: OffloadStrategy, images: int) -> list[Reason]:
    first = candidates[0]
    faster = f"{first.strategy.value}, needing about {first.predicted_peak_gb:.1f} GiB" if chosen != first else None
    text = f"{MEANING[chosen.strategy]}; predicted peak {chosen.predicted_peak_gb:.1f} GiB"
    if asked is not OffloadStrategy.AUTO:
        text += f"; {asked.value} was asked for"
        if asked is not chosen.strategy:
            text += f", but on {chosen.device} there is no separate memory to offload to"
    reasons = [Reason("strategy", text, otherwise=faster)]
    whole = [
        c for c in candidates if c.tile_size == 0 and (c.strategy, c.batch_size) == (chosen.strategy, chosen.batch_size)
    ]
    if chosen.tile_size:
        reasons.append(
            Reason(
                "tile_size",
                f"the VAE decodes in tiles of {chosen.tile_size} pixels: {chosen.stages['vae']:.1f} GiB in that stage",
                otherwise=f"decoded whole, about {whole[0].stages['vae']:.1f} GiB" if whole else None,
            )
        )
    if chosen.batch_size < first.batch_size:
        reasons.append(
            Reason(
                "batch_size",
                f"{chosen.batch_size} of {images} images per forward batch, to stay within the budget",
                otherwise=f"{first.batch_size} per forward batch",
            )
        )
    return reasons
