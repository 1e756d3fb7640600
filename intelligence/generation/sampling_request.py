"""Requests for a run beyond its plan: seeds, overridden switches, a latent to start from, scouting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from ..config import AUTO, SecondPassUse, check_seed, require
from ..parameters import Improvements, ModelGuidance, OptimizedParameters
from ..parameters.parameters import NO_GUIDANCE
from ..parameters.samplers import find_sampler
from ..parameters.second_pass import first_run, second_run, with_second_pass
from .best_of import affordable
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
    second_pass: SecondPassUse = SecondPassUse.AUTO
    """AUTO: as planned."""
    upscaler: str = AUTO
    """`latent`, or the file of an upscale model; AUTO: as planned."""
    best_of: int = 0
    """Seeds to try for a quarter of the steps, of which the best by the user's ratings is finished; 0: off."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        require(0 <= self.scout <= MAX_SEEDS, ProblemMessage.TOO_MANY_SCOUTED.format(most=MAX_SEEDS, scout=self.scout))
        require(
            0 <= self.best_of <= MAX_SEEDS, ProblemMessage.TOO_MANY_BEGUN.format(most=MAX_SEEDS, best_of=self.best_of)
        )
        require(not (self.scout and self.best_of), ProblemMessage.SCOUT_OR_BEST.value)
        require(0 <= self.pick <= self.scout, ProblemMessage.PICK_TOO_HIGH.format(pick=self.pick, scout=self.scout))


@dataclass(frozen=True)
class ModelFacts:
    """The loaded model and the inputs beside it, as far as a run depends on them."""

    items: Callable[[OptimizedParameters], tuple[int, int]]
    """Settings of one pass → the fewest and the most forward items of one image on the schedule that will be
    sampled."""
    second_items: Callable[[OptimizedParameters, float], tuple[int, int]] | None = None
    """The same of a second pass, at its denoise; None: the host has none."""
    has_easycache: bool = False
    """Another node put EasyCache or LazyCache on the model."""
    guidance: ModelGuidance = NO_GUIDANCE
    """Guidance that other nodes put on the model."""
    latent: StartLatent | None = None


class Task(StrEnum):
    """Kind of a run; RESUME finishes one scouted seed, from where it was left if that is still there; BEST tries seeds
    and finishes one of them."""

    SAMPLE = "sample"
    SCOUT = "scout"
    RESUME = "resume"
    BEST = "best"


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
    latent, tries = facts.latent, request.scout or request.best_of
    images = latent.images if latent else 1 if tries else plan.parameters.batch_size
    require(images == 1 or not tries, ProblemMessage.SCOUTED_BATCH.format(images=images))
    improvements, rescale_cfg, left_out = _switched(plan.parameters, request.switches, facts)
    cached = facts.has_easycache or improvements.easycache
    require(not (tries and cached), ProblemMessage.SCOUTED_CACHE.value)
    planned = plan.parameters.width, plan.parameters.height
    width, height = (latent.width, latent.height) if latent else planned
    plan = plan.changed(improvements=improvements, rescale_cfg=rescale_cfg)
    plan = plan.with_parameters(with_second_pass(plan.parameters, request.second_pass, request.upscaler, latent))
    if plan.parameters.second_pass is None:
        plan = plan.changed(width=width, height=height)
    resized = (plan.parameters.width, plan.parameters.height) != planned
    plan = plan.with_parameters(_foretold(plan.parameters, facts, images))
    if not request.hold_time_limit:
        plan = plan.changed(gives_way=())

    if tries:
        if request.best_of:
            tries = affordable(request.best_of, plan.parameters)
        seeds = tuple(seeds_from(request.seed, tries))
        task = Task.BEST if request.best_of else Task.RESUME if request.pick else Task.SCOUT
        if task is Task.RESUME:
            seeds = (seeds[request.pick - 1],)
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


def _foretold(parameters: OptimizedParameters, facts: ModelFacts, images: int) -> OptimizedParameters:
    """The settings with the forward items of all images; of a wide span, the geometric mean."""
    spans, second = [facts.items(first_run(parameters))], parameters.second_pass
    if second is not None and facts.second_items is not None:
        spans.append(facts.second_items(second_run(parameters), second.denoise))
    each = [tuple(images * count for count in span) for span in spans]
    means = [low if low == high else round((low * high) ** 0.5) for low, high in each]
    fewest, most = (sum(span[end] for span in each) for end in (0, 1))
    return replace(
        parameters,
        forward_items=sum(means),
        forward_items_interval=None if fewest == most else (fewest, most),
        second_pass=second and replace(second, forward_items=means[-1]),
    )


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
