"""Requests for a run beyond its plan: seeds, overridden switches, a latent to start from, scouting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from ..config import check_seed, require
from ..parameters import Improvements, ModelGuidance, OptimizedParameters
from ..parameters.parameters import NO_GUIDANCE
from ..parameters.samplers import find_sampler
from .generation_messages import GenerationMessage
from .problem_messages import ProblemMessage
from .run import seeds_from
from .scouting import MAX_SEEDS
from .stages import GenerationPlan


@dataclass(frozen=True)
class Switches:
    """Overrides of the plan's improvements. None: as planned."""

    cfg_cutoff: float | None = None
    """Guidance is off at this sigma and below; 0: never off."""
    cfg_start: float | None = None
    """Guidance is off above this sigma; 0: on from the start."""
    rescale_cfg: float | None = None
    easycache: float | None = None
    """Reuse threshold of EasyCache; 0: off."""


class StartLatent(NamedTuple):
    """Number and size (of the decoded images, pixels) of the latents that a run starts from instead of empty ones."""

    images: int
    width: int
    height: int


@dataclass(frozen=True)
class SamplingRequest:
    """Seeds, switches and scouting of one run.

    Raises InvalidInputError for values out of bounds.
    """

    seed: int
    """0 to 2**64 − 1."""
    seeds_per_image: bool = True
    """Image i comes from `seed` + i; False: the whole batch's noise comes from `seed`, as in KSampler."""
    one_pass: bool = False
    """Images with seeds of their own share forward batches where that does not change them."""
    scout: int = 0
    """Seeds to try for a quarter of the steps; 0: sample whole images."""
    pick: int = 0
    """Scouted seed to finish, counted from 1; 0: only show what was scouted."""
    switches: Switches = Switches()
    hold_time_limit: bool = True
    """False: a run that will exceed its time limit is not changed."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        require(0 <= self.scout <= MAX_SEEDS, ProblemMessage.TOO_MANY_SCOUTED.format(most=MAX_SEEDS, scout=self.scout))
        require(0 <= self.pick <= self.scout, ProblemMessage.PICK_TOO_HIGH.format(pick=self.pick, scout=self.scout))


@dataclass(frozen=True)
class ModelFacts:
    """The loaded model and the inputs beside it, as far as a run depends on them."""

    items: Callable[[OptimizedParameters], tuple[int, int]]
    """Settings → the fewest and the most forward items of one image on the schedule that will be sampled."""
    has_easycache: bool = False
    """Another node put EasyCache or LazyCache on the model."""
    guidance: ModelGuidance = NO_GUIDANCE
    """Guidance that other nodes put on the model."""
    latent: StartLatent | None = None


class Task(StrEnum):
    """Kind of a run; RESUME finishes one scouted seed, from where it was left if that is still there."""

    SAMPLE = "sample"
    SCOUT = "scout"
    RESUME = "resume"


@dataclass(frozen=True)
class SamplingRun:
    task: Task
    plan: GenerationPlan
    seeds: tuple[int, ...]
    images: int = 1
    """Images that are sampled at a time, at most."""
    batch_seed: int | None = None
    """Draw the whole batch's noise from this seed, as KSampler does; None: each image's from its own."""
    max_batch: int = 1
    needs_fit: bool = False
    """The memory plan was made for another size or another `max_batch`."""
    notes: tuple[str, ...] = ()
    """For the user: where the run differs from the request."""


def sampling_run(plan: GenerationPlan, request: SamplingRequest, facts: ModelFacts) -> SamplingRun:
    """Return the run that `request` means for `plan` on the model with these `facts`.

    Raises InvalidInputError for scouting a batch of latents, or beside EasyCache.
    """
    latent = facts.latent
    images = latent.images if latent else 1 if request.scout else plan.parameters.batch_size
    require(images == 1 or not request.scout, ProblemMessage.SCOUTED_BATCH.format(images=images))
    improvements, rescale_cfg, left_out = _switched(plan.parameters, request.switches, facts)
    cached = facts.has_easycache or improvements.easycache
    require(not (request.scout and cached), ProblemMessage.SCOUTED_CACHE.value)
    planned = plan.parameters.width, plan.parameters.height
    width, height = (latent.width, latent.height) if latent else planned
    resized = (width, height) != planned
    plan = plan.changed(width=width, height=height, improvements=improvements, rescale_cfg=rescale_cfg)
    plan = plan.changed(**_foretold(facts.items(plan.parameters), images))
    if not request.hold_time_limit:
        plan = plan.changed(gives_way=())

    if request.scout:
        tried = tuple(seeds_from(request.seed, request.scout))
        task, seeds = (Task.RESUME, (tried[request.pick - 1],)) if request.pick else (Task.SCOUT, tried)
        return SamplingRun(task, plan, seeds, needs_fit=resized or plan.memory.max_batch != 1, notes=left_out)
    batch_seed = None if request.seeds_per_image and latent is None else request.seed
    seeds = tuple(seeds_from(request.seed, images)) if batch_seed is None else (request.seed,) * images
    sampler = plan.parameters.sampler_name
    shared = batch_seed is not None or (request.one_pass and not find_sampler(sampler).batch_dependent)
    max_batch = images if shared else 1
    needs_fit = resized or plan.memory.max_batch != max_batch
    split = request.one_pass and not shared and images > 1
    notes = (GenerationMessage.SAMPLED_ONE_BY_ONE.format(sampler=sampler),) if split else ()
    return SamplingRun(Task.SAMPLE, plan, seeds, images, batch_seed, max_batch, needs_fit, (*left_out, *notes))


def _foretold(items: tuple[int, int], images: int) -> dict[str, Any]:
    """Forward items of all images; of a wide span, the geometric mean."""
    fewest, most = (images * each for each in items)
    exact = fewest == most
    return {
        "forward_items": fewest if exact else round((fewest * most) ** 0.5),
        "forward_items_interval": None if exact else (fewest, most),
    }


def _switched(
    parameters: OptimizedParameters, switches: Switches, facts: ModelFacts
) -> tuple[Improvements, float, tuple[str, ...]]:
    """Improvements, the RescaleCFG multiplier, and notes on what yields to the user's own."""
    planned, notes = parameters.improvements, []
    if facts.has_easycache or switches.easycache:  # the user asked for it: the plan's changes of guidance yield
        planned = Improvements()
    if planned.limits_guidance and facts.guidance.keeps_every_step:
        planned = Improvements(easycache=planned.easycache)
        notes.append(GenerationMessage.GUIDED_THROUGHOUT.value)
    improvements = Improvements(
        planned.cfg_cutoff_sigma if switches.cfg_cutoff is None else switches.cfg_cutoff,
        planned.cfg_start_sigma if switches.cfg_start is None else switches.cfg_start or None,
        planned.easycache if switches.easycache is None else switches.easycache,
    )
    rescale_cfg = parameters.rescale_cfg if switches.rescale_cfg is None else switches.rescale_cfg
    if rescale_cfg and facts.guidance.own_function:
        rescale_cfg = 0.0
        notes.append(GenerationMessage.OWN_CFG_FUNCTION.value)
    return improvements, rescale_cfg, tuple(notes)
