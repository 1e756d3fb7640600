"""The sampling settings of one generation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from ..config import require
from ..models import Family
from ..records import Reason, ValidatedRecord
from ..validation import bounds, checked

SIZE_MULTIPLE = 8
MIN_SIDE = 64
MAX_SIDE = 8192
MAX_STEPS = 1000
MAX_CFG = 100
MAX_IMAGES = 4096
MAX_EASYCACHE = 3


@dataclass(frozen=True)
class Improvements:
    """What is done beyond the plain sampler. All off: ComfyUI's KSampler at the same settings, bit for bit."""

    cfg_cutoff_sigma: float = 0.0
    """Guidance is off at this sigma and below, where a step then costs half the forward items; 0: never."""
    cfg_start_sigma: float | None = None
    """Guidance is off above this sigma: with the cutoff, an interval of guidance (arXiv 2404.07724); None: never."""
    easycache: float = 0.0
    """Reuse threshold of ComfyUI's EasyCache, up to 3; 0: off. Never beside a change of guidance."""

    @property
    def limits_guidance(self) -> bool:
        """Whether guidance is off for a part of the steps."""
        return self.cfg_cutoff_sigma > 0 or self.cfg_start_sigma is not None

    def guides(self, sigma: float) -> bool:
        """Whether a step at `sigma` is guided."""
        return sigma > self.cfg_cutoff_sigma and (self.cfg_start_sigma is None or sigma <= self.cfg_start_sigma)

    def __post_init__(self) -> None:
        low, high = self.cfg_cutoff_sigma, self.cfg_start_sigma
        checked("cfg_cutoff_sigma", low, float, ge=0)
        checked("easycache", self.easycache, float, ge=0, le=MAX_EASYCACHE)
        if high is not None:
            checked("cfg_start_sigma", high, float)
            require(high > low, f"cfg_start_sigma must be None or above cfg_cutoff_sigma ({low}), got {high!r}")
        apart = not (self.easycache and self.limits_guidance)
        require(apart, f"easycache must be 0 where guidance is off for a part of the steps, got {self.easycache!r}")


@dataclass
class OptimizedParameters(ValidatedRecord):
    """Settings for the sampler. May be edited before generating."""

    num_steps: Annotated[int, bounds(ge=1, le=MAX_STEPS)]
    guidance_scale: Annotated[float, bounds(ge=0, le=MAX_CFG)]
    width: Annotated[int, bounds(ge=MIN_SIDE, le=MAX_SIDE, multiple_of=SIZE_MULTIPLE)]
    """Pixels, a multiple of 8."""
    height: Annotated[int, bounds(ge=MIN_SIDE, le=MAX_SIDE, multiple_of=SIZE_MULTIPLE)]
    sampler_name: Annotated[str, bounds(min_length=1)]
    """ComfyUI's name."""
    scheduler: Annotated[str, bounds(min_length=1)]
    """ComfyUI's name; always a core one. `sigmas` stands in its place when set."""
    clip_skip: Annotated[int, bounds(ge=-12, le=-1)] | None = None
    """None: the model's own layer (−2 for SDXL); otherwise ComfyUI's negative layer number, −1 to −12."""
    estimated_time_seconds: float | None = None
    """None: nothing is known of this device yet."""
    estimated_vram_gb: float | None = None
    """GiB."""
    estimated_quality_score: float = 0.5
    """0 … 1, a rough rank of settings for one model, not a measure of pictures."""
    optimization_strategy: str = "BALANCED"
    """The priority whose row of the table was taken, and what the budgets changed of it."""
    confidence: float = 0.5
    """0 … 1: how sure the family of the model is."""
    family: Family = Family.UNKNOWN
    batch_size: Annotated[int, bounds(ge=1, le=MAX_IMAGES)] = 1
    """Images to make in one run; the memory plan may split them into several forward batches."""
    rescale_cfg: Annotated[float, bounds(ge=0, le=1)] = 0.0
    """RescaleCFG multiplier (0: off), for v-prediction models."""
    sigmas: tuple[float, ...] | None = None
    """An explicit schedule (Align Your Steps …) of num_steps + 1 values, ending in 0."""
    max_vram_gb: float | None = None
    """The memory budget that was asked for, GiB; the memory plan keeps it too."""
    reasons: tuple[Reason, ...] = field(default=(), repr=False)
    improvements: Improvements = field(default_factory=Improvements)
    """What is done beyond the plain sampler (`rescale_cfg` and `sigmas` stand on their own)."""
    forward_items: int | None = None
    """Predicted forward items of all images: one per image and evaluation, two where guidance is on; None: unknown."""
    max_time_seconds: float | None = None
    """The time budget that was asked for, of all images; the sampler watches over it."""
    time_interval_seconds: tuple[float, float] | None = None
    """From … to, holding `estimated_time_seconds` with 90 %; None: nothing is known of this device yet."""
    timing_key: str = ""
    """What this run's time is remembered under: device and kind of model."""
    decode_items: float | None = None
    """What decoding an image is predicted to take, in forward items that take as long; None: unknown."""

    def check(self) -> None:
        """Raise InvalidInputError where edits left settings that do not fit each other."""
        values = self.num_steps + 1
        fits = self.sigmas is None or len(self.sigmas) == values
        require(fits, f"sigmas must be None (for `scheduler`), or {values} values for {self.num_steps} steps")
