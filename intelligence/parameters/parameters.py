"""The sampling settings of one generation."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..config import is_number, require
from ..models import Family
from ..records import Reason, Record

SIZE_MULTIPLE = 8
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

    def check(self) -> None:
        """Raise InvalidInputError for a value that cannot be sampled with."""
        low, high = self.cfg_cutoff_sigma, self.cfg_start_sigma
        _require_all(
            self,
            ("cfg_cutoff_sigma", is_number(low) and low >= 0, "0 or more"),
            ("cfg_start_sigma", high is None or is_number(high), "None or above cfg_cutoff_sigma"),
            ("easycache", is_number(self.easycache), f"from 0 to {MAX_EASYCACHE}"),
        )
        reuse = 0 if self.limits_guidance else MAX_EASYCACHE
        _require_all(
            self,
            ("cfg_start_sigma", high is None or high > low, "None or above cfg_cutoff_sigma"),
            (
                "easycache",
                0 <= self.easycache <= reuse,
                f"from 0 to {MAX_EASYCACHE}, and 0 where guidance is off for a part of the steps",
            ),
        )


@dataclass
class OptimizedParameters(Record):
    """Settings for the sampler. May be edited before generating."""

    num_steps: int
    guidance_scale: float
    width: int
    """Pixels, a multiple of 8."""
    height: int
    sampler_name: str
    """ComfyUI's name."""
    scheduler: str
    """ComfyUI's name; always a core one. `sigmas` stands in its place when set."""
    clip_skip: int | None = None
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
    batch_size: int = 1
    """Images to make in one run; the memory plan may split them into several forward batches."""
    rescale_cfg: float = 0.0
    """RescaleCFG multiplier (0: off), for v-prediction models."""
    sigmas: tuple[float, ...] | None = None
    """An explicit schedule (Align Your Steps …) of num_steps + 1 values, ending in 0."""
    max_vram_gb: float | None = None
    """The memory budget that was asked for, GiB; the memory plan keeps it too."""
    reasons: tuple[Reason, ...] = field(default=(), repr=False)
    improvements: Improvements = Improvements()
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
        """Raise InvalidInputError where an edit left a value that cannot be sampled with."""
        _require_all(
            self,
            ("num_steps", _is_int(self.num_steps, 1, MAX_STEPS), f"an integer from 1 to {MAX_STEPS}"),
            (
                "guidance_scale",
                is_number(self.guidance_scale) and 0 <= self.guidance_scale <= MAX_CFG,
                f"from 0 to {MAX_CFG}",
            ),
            ("width", _is_side(self.width), f"a multiple of {SIZE_MULTIPLE} from 64 to {MAX_SIDE}"),
            ("height", _is_side(self.height), f"a multiple of {SIZE_MULTIPLE} from 64 to {MAX_SIDE}"),
            ("sampler_name", _is_name(self.sampler_name), "the name of one of ComfyUI's"),
            ("scheduler", _is_name(self.scheduler), "the name of one of ComfyUI's"),
            ("batch_size", _is_int(self.batch_size, 1, MAX_IMAGES), f"an integer from 1 to {MAX_IMAGES}"),
            ("clip_skip", self.clip_skip is None or _is_int(self.clip_skip, -12, -1), "None or from -12 to -1"),
            ("rescale_cfg", is_number(self.rescale_cfg) and 0 <= self.rescale_cfg <= 1, "from 0 to 1"),
        )
        values = self.num_steps + 1
        fits = self.sigmas is None or len(self.sigmas) == values
        _require_all(self, ("sigmas", fits, f"None (for `scheduler`), or {values} values for {self.num_steps} steps"))
        self.improvements.check()


def _require_all(record: object, *checks: tuple[str, bool, str]) -> None:
    """Raise InvalidInputError for the first (field, whether it holds, what is expected) that does not hold."""
    for name, holds, expected in checks:
        require(holds, f"{name} must be {expected}, got {getattr(record, name)!r}")


def _is_int(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_cfg(value: object) -> bool:
    return is_number(value) and 0 <= value <= MAX_CFG  # type: ignore[operator]


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_side(value: object) -> bool:
    return _is_int(value, 64, MAX_SIDE) and value % SIZE_MULTIPLE == 0  # type: ignore[operator]
