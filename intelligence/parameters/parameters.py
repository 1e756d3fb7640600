"""The request for sampling settings, and the settings of one generation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from math import isclose
from typing import Annotated, Any, Protocol

from ..config import AUTO, GenerationConstraints, require
from ..errors import InvalidInputError
from ..memory import MemoryRequest, Resources
from ..memory.upscaling import UpscaleCost
from ..models import Family, ModelEvidence, ModelMetadata
from ..models.latents import LatentKind
from ..prompt import PromptAnalysis
from ..records import Reason, ValidatedRecord
from ..validation import bounds, plain
from .samplers import SAMPLER_NAMES
from .schedules import SCHEDULER_NAMES

SIZE_MULTIPLE = 8
MIN_SIDE = 64
MAX_SIDE = 8192
MAX_STEPS = 1000
MAX_CFG = 100
MAX_IMAGES = 4096
MAX_EASYCACHE = 3
MAX_SHIFT = 100


class Lever(StrEnum):
    """Settings that may give way in flight to a time limit."""

    GUIDANCE = "guidance"
    """Guidance ends earlier."""
    STEPS = "steps"
    """The remaining noise levels are spread over fewer steps."""


@dataclass(frozen=True)
class Improvements(ValidatedRecord):
    """Options beyond the plain sampler. All off: ComfyUI's KSampler at the same settings, bit for bit."""

    cfg_cutoff_sigma: Annotated[float, bounds(ge=0)] = 0.0
    """Guidance is off at this sigma and below, where a step then costs half the forward items; 0: never."""
    cfg_start_sigma: float | None = None
    """Guidance is off above this sigma: with the cutoff, an interval of guidance (arXiv 2404.07724); None: never."""
    easycache: Annotated[float, bounds(ge=0, le=MAX_EASYCACHE)] = 0.0
    """Reuse threshold of ComfyUI's EasyCache, up to 3; 0: off. Not together with a change of guidance."""

    @property
    def limits_guidance(self) -> bool:
        """True where guidance is off for a part of the steps."""
        return self.cfg_cutoff_sigma > 0 or self.cfg_start_sigma is not None

    def guides(self, sigma: float) -> bool:
        """Return True where a step at `sigma` is guided."""
        return sigma > self.cfg_cutoff_sigma and (self.cfg_start_sigma is None or sigma <= self.cfg_start_sigma)

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.cfg_cutoff_sigma, self.cfg_start_sigma
        above = high is None or high > low
        require(above, f"cfg_start_sigma must be None or above cfg_cutoff_sigma ({low}), got {high!r}")
        apart = not (self.easycache and self.limits_guidance)
        require(apart, f"easycache must be 0 where guidance is off for a part of the steps, got {self.easycache!r}")


@dataclass(frozen=True)
class ModelGuidance:
    """Guidance that a host's user put on the model, beyond prompt, negative prompt and cfg."""

    own_function: bool = False
    """A function stands in the place of RescaleCFG's, which would replace it."""
    changes_guidance: bool = False
    """Functions use the prediction for the negative prompt, so that no step may leave it out unasked."""
    needs_negative: bool = False
    """The negative prompt is computed in every step, whatever the cfg."""
    fewest_extra: int = 0
    most_extra: int = 0
    """Forward items that an evaluation has beside those for prompt and negative prompt."""
    below_one: bool = False
    """A cfg below 1 guides too (ComfyUI); elsewhere it turns guidance off (diffusers)."""

    @property
    def keeps_every_step(self) -> bool:
        """True where no plan may leave guidance out of a step."""
        return self.changes_guidance or self.needs_negative

    def guided(self, cfg: float) -> bool:
        """Return True where evaluations have a negative prompt at this cfg."""
        return self.needs_negative or cfg > 1 or (self.below_one and not isclose(cfg, 1.0))


NO_GUIDANCE = ModelGuidance()

LATENT_UPSCALER = "latent"
"""Upscaler that enlarges the latent itself; every other one is an upscale model's file name."""


@dataclass(frozen=True)
class SecondPass(ValidatedRecord):
    """A second sampling of the enlarged first picture. `second_pass.py` plans it."""

    width: Annotated[int, bounds(ge=MIN_SIDE, le=MAX_SIDE, multiple_of=SIZE_MULTIPLE)]
    """Of the first picture, pixels, a multiple of 8; the settings' own size is that of the second."""
    height: Annotated[int, bounds(ge=MIN_SIDE, le=MAX_SIDE, multiple_of=SIZE_MULTIPLE)]
    steps: Annotated[int, bounds(ge=1, le=MAX_STEPS)]
    """Steps that are sampled, all of them below the noise level of `denoise`, as in KSampler."""
    denoise: Annotated[float, bounds(gt=0, le=1)]
    upscaler: Annotated[str, bounds(min_length=1)] = LATENT_UPSCALER
    """`latent`, or the file of an upscale model."""
    improvements: Improvements | None = None
    """None: as in the first pass."""
    sigmas: tuple[float, ...] | None = None
    """Explicit schedule, of which `denoise` leaves `steps`, where a time limit changed it in flight; None:
    `scheduler` makes it."""
    forward_items: int | None = None
    """Predicted forward items of all images, which those of the settings include; None: unknown."""
    estimated_seconds: float | None = None
    """Predicted time of it alone, all images, without decoding; None: unknown."""
    cost: UpscaleCost | None = None
    """Size and work of the upscale model; None: the latent is enlarged, or they are not known."""
    enlarging_seconds: float | None = None
    """Predicted time of enlarging by a model, all images, decoding and encoding included; None: unknown."""


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
    """Of all images; None: unknown."""
    estimated_vram_gb: float | None = None
    """GiB."""
    estimated_quality_score: float = 0.5
    """0 … 1, a rough rank of settings for one model, not a measure of pictures."""
    optimization_strategy: str = "BALANCED"
    """Priority of the profile, and what the budgets changed."""
    confidence: float = 0.5
    """0 … 1: confidence in the family of the model."""
    family: Family = Family.UNKNOWN
    batch_size: Annotated[int, bounds(ge=1, le=MAX_IMAGES)] = 1
    """Images to make in one run; the memory plan may split them into several forward batches."""
    rescale_cfg: Annotated[float, bounds(ge=0, le=1)] = 0.0
    """RescaleCFG multiplier (0: off), for v-prediction models."""
    sigmas: tuple[float, ...] | None = None
    """Explicit schedule (Align Your Steps …) of num_steps + 1 values, ending in 0."""
    max_vram_gb: float | None = None
    """Memory budget in GiB, which the memory plan keeps too; None: none."""
    reasons: tuple[Reason, ...] = field(default=(), repr=False)
    improvements: Improvements = field(default_factory=Improvements)
    """Options beyond the plain sampler, apart from `rescale_cfg` and `sigmas`."""
    forward_items: int | None = None
    """Predicted forward items (see workload.py) of all images; None: unknown."""
    forward_items_interval: tuple[int, int] | None = None
    """Fewest and most of them, where the sampler or another node's guidance decides on the way; None: exactly those."""
    max_time_seconds: float | None = None
    """Time budget of all images, which the sampler watches; None: none."""
    gives_way: tuple[Lever, ...] = ()
    """Settings that may change in flight to keep `max_time_seconds`; (): nothing, as in every stored run."""
    time_interval_seconds: tuple[float, float] | None = None
    """(low, high) that holds the time with 90 %; None: this device's speed is unknown yet."""
    timing_key: str = ""
    """Key of this run's time in the learning store: device and kind of model."""
    decode_items: float | None = None
    """Predicted time of decoding an image, in forward items that take as long; None: unknown."""
    guidance: Annotated[float, bounds(ge=0, le=MAX_CFG)] | None = None
    """Guidance value for the network (ComfyUI's FluxGuidance), which costs no forward items, unlike `guidance_scale`;
    None: it reads none, or the conditioning keeps its own."""
    shift: Annotated[float, bounds(gt=0, le=MAX_SHIFT)] | None = None
    """Shift of the flow schedule that the settings were made for (ComfyUI's ModelSamplingSD3, ModelSamplingAuraFlow);
    None: the model's own."""
    schedule: str | None = None
    """Name of the explicit schedule in `sigmas`: see `schedules.explicit_sigmas`, which makes them again for another
    count of steps or size; None: `scheduler` makes them."""
    latent: LatentKind | None = None
    """Latent that the model denoises, as far as it is known before it is loaded; None: not known."""
    second_pass: SecondPass | None = None
    """If set, all other settings but the size are those of the first pass; None: one pass."""
    native: str = ""
    """Name of the sizes that the model was trained at (`NATIVE_SIDES`); empty: its family's."""

    def guided_steps(self, sigmas: Sequence[float]) -> range:
        """Return the steps with guidance, counted from 1; `sigmas` are the noise levels of all, falling, to the end."""
        if self.guidance_scale == 1:
            return range(1, 1)
        guided = [step for step, sigma in enumerate(sigmas[:-1], 1) if self.improvements.guides(sigma)]
        return range(guided[0], guided[-1] + 1) if guided else range(1, 1)

    def check(self) -> None:
        """Raise InvalidInputError where edits left settings that do not fit each other."""
        values = self.num_steps + 1
        fits = self.sigmas is None or len(self.sigmas) == values
        require(fits, f"sigmas must be None (for `scheduler`), or {values} values for {self.num_steps} steps")


ALIASES = {"steps": "num_steps", "cfg": "guidance_scale", "cfg_scale": "guidance_scale", "sampler": "sampler_name"}

IMPROVEMENTS = tuple(each.name for each in fields(Improvements))

SECOND_PASS = ("second_pass", "upscaler")

OVERRIDES = (
    "num_steps",
    "guidance_scale",
    "sampler_name",
    "scheduler",
    "width",
    "height",
    "clip_skip",
    "batch_size",
    "rescale_cfg",
    "guidance",
    "shift",
    *SECOND_PASS,
    *IMPROVEMENTS,
)


class LoRALike(Protocol):
    """A chosen LoRA, as far as the settings depend on it."""

    lora_metadata: ModelMetadata


@dataclass(frozen=True)
class ParameterRequest:
    """Prompt, model and machine, and what the user set."""

    analysis: PromptAnalysis
    constraints: GenerationConstraints = field(default_factory=GenerationConstraints)
    model: ModelEvidence | None = None
    """Evidence of the base model from the host; None: unknown."""
    loras: Sequence[LoRALike] = ()
    """The chosen LoRAs; a few-step LoRA among them decides steps, cfg and sampler."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Settings that win over every choice: those of `OVERRIDES`, or their `ALIASES`."""
    aspect: str = AUTO
    """See `choose_size`."""
    resources: Resources | None = None
    """The machine; None: detected."""
    memory: MemoryRequest = field(default_factory=MemoryRequest)
    """Images, model and host of the memory plan that the settings must fit; the settings fill in its size, guidance and
    steps. The predicted time is for all of its images."""
    guidance: ModelGuidance = NO_GUIDANCE
    """Guidance that is on the model already."""
    samplers: Collection[str] = SAMPLER_NAMES
    schedulers: Collection[str] = SCHEDULER_NAMES
    """Names that the host can run; default: ComfyUI's own."""
    upscalers: Sequence[str] = ()
    """Files of the upscale models that the host can run."""
    upscale_cost: Callable[[str], UpscaleCost | None] = lambda name: None
    """Reads size and work of one of them."""
    learned: bool = True
    """Ratings may move settings."""
    manual: bool = False
    """Nothing is chosen: what `overrides` lack is a plain default."""

    @property
    def images(self) -> int:
        """Images to make in one run."""
        return self.memory.images


def canonical(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return `overrides` under their full names (`steps` → `num_steps` …).

    Raises InvalidInputError for a name that is no setting, or that is given twice.
    """
    given: dict[str, Any] = {}
    for name, value in overrides.items():
        full = ALIASES.get(name, name)
        if full not in OVERRIDES:
            known = ", ".join((*OVERRIDES, *ALIASES))
            raise InvalidInputError(f"{name!r} is no setting that can be passed; known: {known}")
        if full in given:
            raise InvalidInputError(f"{full} is given twice")
        given[full] = plain(value)
    return given
