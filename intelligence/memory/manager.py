"""Fits a job onto the device: predicts its peaks, picks the fastest plan that fits, and measures what it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from ..config import MemorySettings, OffloadStrategy, is_number, require
from ..models import Architecture
from . import footprints, prediction, reasons
from .choice import SMALLER, Choices, Way, below, fastest, largest_size, neighbours, smallest, way, ways
from .corrections import Corrections
from .plan import DIFFUSERS, HostTraits, MemoryPlan, Resources
from .prediction import BYTES, MIB, Decoding, Denoising, Job, Placement
from .resources import PeakCounter, detect_resources, peak_counter

TILES = (1024, 768, 512, 256)
"""Sides of VAE tiles in pixels that are considered; smaller ones show their seams."""

FASTEST_FIRST = (OffloadStrategy.FULL_GPU, OffloadStrategy.CPU_OFFLOAD, OffloadStrategy.SEQUENTIAL)

OWN_MEMORY = ("cuda", "xpu")
"""Devices whose memory is not the computer's, so that keeping weights elsewhere saves some."""

SAME_MODEL = 0.02
"""Relative difference of the UNet's weights below which a model is its architecture's usual one."""

STEPS = 20
"""Model evaluations of an image where nobody says how many: usual for SDXL."""


@dataclass
class Usage:
    """What a tracked block took; final after the block."""

    peak_vram_gb: float = 0.0
    """GiB on the device; 0 on a CPU, which has no counter."""


class MemoryManager:
    """What the machine has, what a job needs, and the plan that fits one onto the other."""

    def __init__(self, corrections: Path | None = None, host: HostTraits = DIFFUSERS) -> None:
        """`corrections`: where measurements are kept (a database, made on first use); None: nothing is learned.
        `host`: what can be carried out, where a call does not say otherwise."""
        self._lock = RLock()
        self._counter: PeakCounter | None = None
        self._active: list[Usage] = []
        self._last = Usage()
        self._corrections = None if corrections is None else Corrections(corrections)
        self._host = host

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

    def correct(self, plan: MemoryPlan, measured_gb: float, resources: Resources | None = None) -> None:
        """Let later plans for this device learn from what `plan` took, as `track_usage` measured it.

        The highest stage is taken to be the predicted one; what it took beside the weights is set against the
        prediction. Nothing is learned from a measurement below the weights, because they were not all there, nor on a
        host that places weights as it likes.

        Raises:
            StorageError: the measurement cannot be kept.
        """
        stage = plan.peak_stage
        if self._corrections is None or not self._host.places_weights or not measured_gb or not stage:
            return
        resident = plan.resident[stage]
        predicted = plan.stages[stage] - plan.context_gb - resident
        if predicted > 0 and measured_gb > resident:
            name = (resources or self.detect_resources()).name
            before = self._corrections.of(name).get(stage, 1.0)
            self._corrections.add(name, stage, before * (measured_gb - resident) / predicted)

    def ran_out(self, plan: MemoryPlan, stage: str, resources: Resources | None = None) -> None:
        """Let later plans for this device know that `stage` of `plan`, which was to fit, ran out of memory: it took at
        least what the budget left it.

        Raises:
            StorageError: that cannot be kept.
        """
        if self._corrections is None or plan.budget_gb is None or not plan.fits:
            return
        held = plan.context_gb + plan.resident[stage]
        predicted = plan.stages[stage] - held
        if predicted > 0:
            name = (resources or self.detect_resources()).name
            before = self._corrections.of(name).get(stage, 1.0)
            self._corrections.ran_out(name, stage, before * (plan.budget_gb - held) / predicted / SMALLER)

    def failures(self, device: str) -> int:
        """How often memory ran out on the device of this name: where it differs, a job may be planned another way.

        Raises:
            StorageError: what was learned cannot be read.
        """
        return self._corrections.failures(device) if self._corrections else 0

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
        weight_dtype: str = "float16",
        cfg_split: bool = False,
        attention: str = "flash",
        host: HostTraits | None = None,
        lora_gb: float = 0.0,
        configs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> dict[str, float]:
        """Peak of each stage in GiB with the context: `text`, `lora` (where LoRAs are patched in), `unet`, `vae`.

        Args:
            tile_size: side of a VAE tile in pixels; 0: decode whole.
            weights_gb: true sizes by stage where the host knows them.
            vae_dtype: on a GPU `float32` (diffusers decodes SDXL so), `float16` or `bfloat16` (ComfyUI on recent GPUs).
            weight_dtype: `float16` (as loaded), `float8`, `int8` or `nf4` (4 bits), of the UNet's weights.
            attention: `flash` (also memory-efficient) or `math`.
            lora_gb, configs: see `plan`.

        Raises:
            InvalidInputError: a size or count that cannot be, an unknown name.
        """
        require(weight_dtype in prediction.FINEST_FIRST, f"weight_dtype is unknown: {weight_dtype!r}")
        require(attention in ("flash", "math"), f"attention must be flash or math, got {attention!r}")
        _check(width, height, batch_size, weights_gb, vae_dtype)
        vae_dtype = "float32" if device == "cpu" else vae_dtype
        host = host or self._host
        known = _footprints(architecture, configs, weights_gb, device)
        job = Job(
            width,
            height,
            batch_size,
            cfg,
            STEPS,
            known,
            _weights(known, device, vae_dtype, host, weights_gb),
            attention=attention,
            weight_bytes=_weight_bytes(device),
            decoder=host.decoder,
            lora_gb=0.0 if host.patches_loras else lora_gb,
            patches_loras=host.patches_loras and lora_gb > 0,
            context_gb=prediction.UNKNOWN_CONTEXT.get(device, 0.0),
        )
        placement = Placement(strategy, weight_dtype)
        require(placement.possible, f"weight_dtype: {weight_dtype} cannot be streamed, only float16 and float8 can")
        taken = way(job, placement, Denoising(batch_size, cfg_split), Decoding(tile_size, vae_dtype))
        return {stage: demand.peak for stage, demand in taken.stages.items()}

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
        vae_dtype: str | None = None,
        host: HostTraits | None = None,
        steps: int = STEPS,
        failed: Mapping[str, MemoryPlan] | None = None,
        lora_gb: float = 0.0,
        configs: Mapping[str, Mapping[str, Any]] | None = None,
        activation_gb: Mapping[str, float] | None = None,
        item_seconds: float | None = None,
    ) -> MemoryPlan:
        """The fastest plan that fits the smallest of `max_vram_gb`, the settings' limit and what is free.

        Weighed against each other: everything on the device, whole models offloaded, modules streamed; the VAE decoded
        whole or in tiles; smaller forward batches; prompt and negative prompt apart; sliced attention where the device
        has no better; for a strategy that fits in no other way a bfloat16 decode, and the UNet's weights in 8 bits; and
        in 4 bits where only streaming would fit. On a CPU or MPS the memory is shared, so there is nothing to offload;
        a CPU's budget is the free RAM, whatever the limits on VRAM say. A job that nothing fits comes back with
        `fits=False` as the plan that needs least, with the largest size that would fit.

        Args:
            tile_size: side of a VAE tile in pixels, 0 to decode whole; None: decided here.
            weights_gb: true sizes by stage, in the precision that they are loaded in.
            parallel: whether several images may share a forward batch.
            vae_dtype: see `predict`; None: decided here for diffusers, `float32` elsewhere.
            host: what the host can carry out.
            steps: model evaluations an image, for the predicted time.
            failed: by stage, a plan for this job that ran out of memory there: what takes as much does not fit. Where
                nothing takes less, it comes back as it was, but for `fits`.
            lora_gb: weights of the LoRAs that will be applied.
            configs: the `config.json` of `unet`, `vae` and text encoders. Where `weights_gb` tells that the UNet is not
                its architecture's usual one, it is simulated once: 1–2 s, with diffusers and transformers.
            activation_gb: the host's own figures at this size, for a model of another architecture than SDXL, SD1 and
                SD2: `unet` for one forward item, `vae` for one image.
            item_seconds: what one forward item of this size takes by earlier runs on this device; None: by its work, at
                an assumed speed.

        Raises:
            InvalidInputError: a size, count, name or limit that cannot be.
            StorageError: what was learned of this device cannot be read.
        """
        _check(width, height, images, weights_gb, vae_dtype or "float32")
        settings = settings or MemorySettings()
        resources = resources or self.detect_resources()
        asked = settings.offload_strategy
        device = resources.device
        budget, budget_reason = reasons.budget(resources, settings, max_vram_gb)
        host = host or self._host
        vae_dtypes = _vae_dtypes(vae_dtype, host, architecture, configs, resources)
        known = _footprints(architecture, configs, weights_gb, device)
        measured = resources.context_gb
        item_tflop = known.unet_call(width * height, 2).tflop / 2
        job = Job(
            width,
            height,
            images,
            cfg,
            steps,
            known,
            _weights(known, device, vae_dtypes[0], host, weights_gb),
            attention=resources.attention,
            weight_bytes=_weight_bytes(device),
            decoder=host.decoder,
            lora_gb=0.0 if host.patches_loras else lora_gb,
            patches_loras=host.patches_loras and lora_gb > 0,
            context_gb=prediction.UNKNOWN_CONTEXT.get(device, 0.0) if measured is None else measured,
            pages_weights=resources.dynamic_vram,
            activation_gb=activation_gb if footprints.of_architecture(architecture) is None else None,
            corrections=self._corrections.of(resources.name) if self._corrections else {},
            tflops=prediction.DEFAULT_TFLOPS if item_seconds is None else item_tflop / item_seconds,
        )
        choices = Choices(
            strategies=_strategies(asked, resources),
            weight_dtypes=_weight_dtypes(host, resources, settings),
            batches=_batches(images if parallel else 1),
            cfg_split=(False, True) if cfg and host.cfg_split else (False,),
            attention_slicing=(False, True) if host.attention_slicing and job.attention == "math" else (False,),
            tiles=[0, *(tile for tile in TILES if tile < max(width, height))] if tile_size is None else [tile_size],
            vae_dtypes=vae_dtypes,
        )
        found = ways(job, choices)
        tried = {stage: _way(job, plan) for stage, plan in (failed or {}).items()}
        peaks = {stage: tried[stage].stages[stage].peak for stage in tried}
        possible = below(found, peaks)
        fitting = fastest(possible, budget)
        chosen = fitting or smallest(possible or tried.values())
        better, smaller = neighbours(found, chosen, budget)
        said = [budget_reason, *reasons.for_way(chosen, found, asked, resources, job, learned=item_seconds is not None)]
        largest = None
        if fitting is None:
            largest = largest_size(job, choices, budget, peaks)
            said.append(reasons.refusal(chosen, budget or chosen.need, largest, asked, images))
        return MemoryPlan(
            strategy=chosen.placement.strategy,
            device=device,
            tile_size=chosen.decoding.tile,
            batch_size=chosen.denoising.batch,
            predicted_peak_gb=chosen.peak,
            budget_gb=budget,
            fits=fitting is not None,
            stages={stage: demand.peak for stage, demand in chosen.stages.items()},
            reasons=(said[0], *reasons.corrected(job.corrections), *said[1:]),
            weight_dtype=chosen.placement.weight_dtype,
            vae_dtype=chosen.decoding.dtype,
            cfg_split=chosen.denoising.cfg_split,
            attention_slicing=chosen.denoising.attention_slicing,
            context_gb=job.context_gb,
            resident={stage: chosen.placement.resident(job, stage, chosen.decoding.dtype) for stage in chosen.stages},
            needed_gb=chosen.need,
            comfort={stage: demand.comfort for stage, demand in chosen.stages.items()},
            seconds=chosen.seconds,
            better=better and better.option(),
            smaller=smaller and smaller.option(),
            largest_size=largest,
            together=images if parallel else 1,
            asked_strategy=asked,
            asked_tile=tile_size,
        )


def _check(width: int, height: int, images: int, weights_gb: Mapping[str, float] | None, vae_dtype: str) -> None:
    for name, value in (("width", width), ("height", height), ("images", images)):
        require(
            isinstance(value, int) and not isinstance(value, bool) and value >= 1,
            f"{name} must be an integer of 1 or more, got {value!r}",
        )
    stages = ("text", "unet", "vae")
    unknown = set(weights_gb or {}) - set(stages)
    require(not unknown, f"weights_gb knows {', '.join(stages)}, not {', '.join(sorted(unknown))}")
    for stage, size in (weights_gb or {}).items():
        require(is_number(size) and size >= 0, f"weights_gb: {stage} must be a number of 0 or more, got {size!r}")
    require(vae_dtype in BYTES, f"vae_dtype must be one of {', '.join(BYTES)}, got {vae_dtype!r}")


def _footprints(
    architecture: Architecture,
    configs: Mapping[str, Mapping[str, Any]] | None,
    weights_gb: Mapping[str, float] | None,
    device: str,
) -> footprints.Footprints:
    usual = footprints.of_architecture(architecture) or footprints.of_architecture(Architecture.SDXL)
    assert usual is not None
    expected = usual.weights["unet"] * MIB * _weight_bytes(device) / 2
    same = abs((weights_gb or {}).get("unet", expected) / expected - 1) < SAME_MODEL
    return usual if same or not configs else footprints.of_configs(configs)


def _weight_bytes(device: str) -> int:
    """Of a number in the UNet: models are loaded in half precision for every device but the CPU."""
    return 4 if device == "cpu" else 2


def _weights(
    known: footprints.Footprints, device: str, vae_dtype: str, host: HostTraits, given: Mapping[str, float] | None
) -> dict[str, float]:
    """GiB of weights by stage: what the host measured where `given` has it, the table otherwise."""
    factor = _weight_bytes(device) / 2
    sizes = {stage: size * MIB * factor for stage, size in known.weights.items()}
    if host.decoder == "comfyui":
        sizes["vae"] = known.weights["vae"] * MIB * BYTES[vae_dtype] / 2
    return sizes | dict(given or {})


def _way(job: Job, plan: MemoryPlan) -> Way:
    """How `plan` runs a job, and what that takes by what is known now."""
    placement = Placement(plan.strategy, plan.weight_dtype)
    denoising = Denoising(plan.batch_size, plan.cfg_split, plan.attention_slicing)
    return way(job, placement, denoising, Decoding(plan.tile_size, plan.vae_dtype))


def _strategies(asked: OffloadStrategy, resources: Resources) -> tuple[OffloadStrategy, ...]:
    if resources.device not in OWN_MEMORY:
        return (OffloadStrategy.FULL_GPU,)
    if asked is not OffloadStrategy.AUTO:
        return (asked,)
    return FASTEST_FIRST[:1] if resources.dynamic_vram else FASTEST_FIRST


def _weight_dtypes(host: HostTraits, resources: Resources, settings: MemorySettings) -> list[str]:
    """What the host offers, the device and the libraries here can hold, and the user allows."""
    needed = {"float8": "float8_e4m3fn"}
    possible = resources.device in OWN_MEMORY and not resources.dynamic_vram and not settings.exact_weights
    return [
        dtype
        for dtype in host.weight_dtypes
        if dtype == "float16" or (possible and needed.get(dtype, dtype) in resources.dtypes)
    ]


def _vae_dtypes(
    asked: str | None,
    host: HostTraits,
    architecture: Architecture,
    configs: Mapping[str, Mapping[str, Any]] | None,
    resources: Resources,
) -> tuple[str, ...]:
    """What the VAE may decode in, the most exact first.

    SDXL's overflows in float16, but for those whose configuration says that they do not (`force_upcast`); diffusers
    decodes these, SD1's and SD2's as they were loaded.
    """
    if resources.device == "cpu":
        return ("float32",)
    if asked is not None or host.decoder != "diffusers":
        return (asked or "float32",)
    if architecture in (Architecture.SD1, Architecture.SD2) or not (configs or {}).get("vae", {}).get(
        "force_upcast", True
    ):
        return ("float16",)
    brief = resources.device in OWN_MEMORY and "bfloat16" in resources.dtypes
    return ("float32", "bfloat16") if brief else ("float32",)


def _batches(images: int) -> Sequence[int]:
    """Forward batch sizes worth trying, largest first: the even splits of `images`."""
    return sorted({-(-images // parts) for parts in range(1, images + 1)}, reverse=True)
