"""Choice of the sampling settings: the family's profile, what the user set, then what the budgets need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import AUTO, GenerationConstraints, Priority, data_folder
from ..history.own_use import CheckpointUse
from ..learning import Timing
from ..learning.value_model import ValueModel
from ..memory import MemoryManager, MemoryPlan, MemoryRequest
from ..memory.upscaling import TILES
from ..models import Architecture, Family, ModelEvidence
from ..models.kinds import UNETS
from ..prompt import PromptAnalysis
from ..records import Reason, Source
from .baseline import MANUAL_DEFAULTS, Baseline, choose_baseline, manual_reasons
from .budget import Choice, TimeBudget, fit_memory, fit_time, format_estimate
from .neighbours import neighbours
from .parameter_messages import ParameterMessage
from .parameters import (
    IMPROVEMENTS,
    NO_GUIDANCE,
    Lever,
    LoRALike,
    ModelGuidance,
    OptimizedParameters,
    ParameterRequest,
    SecondPass,
    canonical,
)
from .profiles import find_profile
from .resolution import choose_size
from .samplers import check_names, evaluations
from .schedules import AYS_TABLES
from .second_pass import SETTING as SECOND_PASS
from .second_pass import second_pass_reasons, upscaling_of
from .speed import Speed, TimeEstimate, enlarging_seconds, learn, timing_key, upscale_key
from .workload import Work, cost_of, enlarging_tflop

ALIGN_YOUR_STEPS_WORTH = 1.8
"""Steps of an ordinary schedule that a step of Align Your Steps is about worth [RMSE on the analytic mixture: 10 of it
.014, karras 10 .015, 20 .004; normal 30 .039]; for the rough rank of settings only."""


class ParameterOptimizer:
    """Steps, cfg, sampler, scheduler and size for a prompt, a model and a machine."""

    def __init__(
        self,
        memory: MemoryManager | None = None,
        timings: Callable[[str], Sequence[Timing]] | None = None,
        table: Path | None = None,
        taste: Callable[[], ValueModel | None] = lambda: None,
        own_settings: Callable[[str], CheckpointUse | None] = lambda checkpoint: None,
    ) -> None:
        """`timings`: key (`OptimizedParameters.timing_key`) → earlier runs, oldest first, as `LearningEngine().timings`
        returns them. `table`: the user's table of families; None: `families.json` in the data folder. `taste`:
        reads what ratings say. `own_settings`: file name of a checkpoint → the user's usual settings with it."""
        self.memory = memory or MemoryManager()
        self._timings = timings or (lambda key: ())
        self._own_table = table
        self._taste, self._own_settings = taste, own_settings

    @property
    def table(self) -> Path:
        """Path of the user's own table of families, which replace the built-in ones; the file need not exist."""
        return self._own_table or data_folder() / "families.json"

    def optimize(
        self,
        prompt_analysis: PromptAnalysis,
        constraints: GenerationConstraints | None = None,
        *,
        model: ModelEvidence | None = None,
        loras: Sequence[LoRALike] = (),
        overrides: Mapping[str, Any] | None = None,
        images: int = 1,
        aspect: str = AUTO,
    ) -> OptimizedParameters:
        """Choose the settings for a prompt on this machine; see `ParameterRequest` and `choose`."""
        constraints, memory = constraints or GenerationConstraints(), MemoryRequest(images=images)
        return self.choose(
            ParameterRequest(prompt_analysis, constraints, model, loras, overrides or {}, aspect, memory=memory)
        )

    def choose(self, request: ParameterRequest) -> OptimizedParameters:
        """Choose the settings, each with its reason.

        What the request overrides is kept as it is; budgets change the rest. Over the time budget: late guidance
        cutoff, Align Your Steps, fewer steps (not below 8), a smaller size (not below 0.8 of the area). Over the memory
        budget: what the memory plan can do (tiles, smaller forward batches, offloading), then a smaller size. A
        distilled model keeps its steps and cfg, one with zero terminal SNR its schedule and guidance. A budget that
        cannot be met is named in the reasons, with the nearest plan. The upper end of the predicted interval is held
        against a time budget.

        Raises InvalidInputError for an impossible override, an unknown aspect, an unusable table of families.
        """
        given = canonical(request.overrides)
        names = (given.get("sampler_name") or "euler", given.get("scheduler") or "normal")
        check_names(*names, request.samplers, request.schedulers)
        if not request.manual:
            return self._choose(replace(request, overrides=given))
        parameters = self._choose(replace(request, overrides={**MANUAL_DEFAULTS, **given}))
        told = [reason for reason in parameters.reasons if reason.setting == SECOND_PASS]
        return replace(parameters, optimization_strategy="MANUAL", reasons=(*manual_reasons(given), *told))

    def _choose(self, request: ParameterRequest) -> OptimizedParameters:
        limits, images = request.constraints, request.images
        taste, own = None, None
        if request.learned and not request.manual:
            taste = self._taste()
            own = self._own_settings(request.model.name) if request.model and request.model.name else None
        baseline = choose_baseline(request, self.table, taste, own)
        choice, reasons = baseline.choice, baseline.reasons
        resources = request.resources or self.memory.detect_resources()
        architecture = baseline.finding.architecture
        job = replace(request.memory, architecture=architecture, max_vram_gb=limits.max_vram_gb)
        key = timing_key(resources.device, architecture, job.weights_gb.get("unet"))
        speed = self._speed(key)

        def work_of(tried: Choice) -> Work:
            return self._with_enlarging(tried.work(images), tried.second, key, speed)

        def estimate(tried: Choice) -> TimeEstimate:
            return speed.estimate(work_of(tried))

        def memory_plan(tried: Choice) -> MemoryPlan:
            request = _completed(job, speed, work_of(tried), tried.cfg, tried.second)
            return self.memory.plan(request, resources=resources)

        changes: list[str] = []
        gives_way: tuple[Lever, ...] = ()
        if limits.max_time_seconds is not None:
            budget = _time_budget(limits.max_time_seconds, estimate, baseline)
            choice = fit_time(choice, budget, reasons, changes)
            gives_way = budget.levers if limits.hold_time_limit else ()
        choice, memory = fit_memory(choice, memory_plan, _size_is_free(request), reasons, changes)
        took = estimate(choice)
        if "time" not in reasons:
            reasons["time"] = _time_reason(took, images, resources.name)
        made = baseline.parameters(
            choice,
            estimated_time_seconds=took.seconds,
            estimated_vram_gb=0.0 if resources.device == "cpu" else memory.predicted_peak_gb,
            estimated_quality_score=_quality(choice, baseline, self.table),
            optimization_strategy=", ".join((limits.priority.value, *changes)),
            reasons=tuple(reasons.values()),
            max_vram_gb=job.max_gb,
            forward_items=choice.items * images,
            max_time_seconds=limits.max_time_seconds,
            gives_way=gives_way,
            time_interval_seconds=took.interval,
            timing_key=key,
            decode_items=speed.decode_items(choice.work(images)),
        )
        made = _with_second_estimates(made, choice.second_items * images, work_of(choice), speed)
        told = () if request.manual and not made.second_pass else second_pass_reasons(made, limits.priority)
        return replace(made, reasons=(*made.reasons, *told))

    def estimate(self, parameters: OptimizedParameters, items: int) -> TimeEstimate:
        """Return how long a run with `parameters` takes on the device that they were chosen for, with `items` forward
        items of all images."""
        return self._speed(parameters.timing_key).estimate(self._work(parameters, items, parameters.batch_size))

    def predicted(self, parameters: OptimizedParameters, items: int) -> OptimizedParameters:
        """Return `parameters` with the time that `items` forward items of all images take by what is known now."""
        took = self.estimate(parameters, items)
        work = self._work(parameters, items, parameters.batch_size)
        speed = self._speed(parameters.timing_key)
        made = replace(
            parameters,
            forward_items=items,
            estimated_time_seconds=took.seconds,
            time_interval_seconds=took.interval,
            decode_items=speed.decode_items(work),
            reasons=tuple(_retold(reason, took, parameters.batch_size) for reason in parameters.reasons),
        )
        second = parameters.second_pass
        return _with_second_estimates(made, second.forward_items if second else None, work, speed)

    def memory_request(self, request: MemoryRequest, parameters: OptimizedParameters) -> MemoryRequest:
        """Return `request` for these settings, with the rates of the device that they were chosen for."""
        passes = evaluations(parameters.sampler_name, parameters.num_steps) * parameters.batch_size
        if parameters.second_pass:
            passes += evaluations(parameters.sampler_name, parameters.second_pass.steps) * parameters.batch_size
        items = parameters.forward_items or passes * (2 if parameters.guidance_scale > 1 else 1)
        work = self._work(parameters, round(items * request.images / parameters.batch_size), request.images)
        speed = self._speed(parameters.timing_key)
        made = _completed(request, speed, work, parameters.guidance_scale, parameters.second_pass)
        rates = made.rates if parameters.timing_key else None
        return replace(made, max_vram_gb=parameters.max_vram_gb, rates=rates)

    def neighbours(
        self, parameters: OptimizedParameters, count: int, guidance: ModelGuidance = NO_GUIDANCE
    ) -> list[OptimizedParameters]:
        """Return `parameters`, then at most `count` − 1 settings near them that are worth comparing; deterministic.

        What the user set stays. A distilled or zero-terminal-SNR model keeps what it needs, so there may be fewer.
        `guidance` is that which is on the model.
        Raises InvalidInputError for a count below 1.
        """
        kept = {reason.setting for reason in parameters.reasons if reason.source is Source.USER}
        return neighbours(parameters, count, kept, self.estimate, self.table, guidance)

    def _speed(self, key: str) -> Speed:
        return learn(self._timings(key), key)

    def _work(self, parameters: OptimizedParameters, items: int, images: int) -> Work:
        key = parameters.timing_key
        return self._with_enlarging(_work(parameters, items, images), parameters.second_pass, key, self._speed(key))

    def _with_enlarging(self, work: Work, second: SecondPass | None, key: str, speed: Speed) -> Work:
        """The work with the seconds of enlarging by a model; itself without one."""
        if (upscaling := upscaling_of(second)) is None or second is None:
            return work
        device = key.partition(":")[0]
        tflop = work.images * enlarging_tflop(upscaling, TILES[0], (work.width, work.height), cost_of(key))
        known = self._timings(upscale_key(device, second.upscaler))
        pixels = upscaling.width * upscaling.height
        return replace(work, enlarging=enlarging_seconds(tflop, pixels, known, speed, device))


def _size_is_free(request: ParameterRequest) -> bool:
    return not {"width", "height"} & request.overrides.keys()


def _time_budget(limit: float, estimate: Callable[[Choice], TimeEstimate], baseline: Baseline) -> TimeBudget:
    """The limit, and what may change to keep it: nothing that the user set or the model needs."""
    request, profile, given = baseline.request, baseline.profile, baseline.request.overrides
    known = baseline.finding.architecture in UNETS and profile.family is not Family.UNKNOWN
    plain = known and not (request.manual or profile.fixed or profile.zsnr)
    free_cutoff = plain and not request.guidance.keeps_every_step
    schedule = "ays_sd1" if baseline.finding.architecture is Architecture.SD1 else "ays"
    scheduler_is_free = plain and profile.family is not Family.SD2 and "scheduler" not in given
    return TimeBudget(
        limit=limit,
        estimate=estimate,
        schedule=schedule if scheduler_is_free else None,  # none was made for SD 2
        free_cutoff=free_cutoff and not set(IMPROVEMENTS) & given.keys(),
        free_steps=not profile.fixed and "num_steps" not in given,
        free_size=_size_is_free(request),
    )


def _time_reason(took: TimeEstimate, images: int, device: str) -> Reason:
    source, weight = (Source.LEARNED, 1.0) if took.learned else (Source.DEFAULT, 0.3)
    message, value = ParameterMessage.TIME_IMAGES if images > 1 else ParameterMessage.TIME, round(took.seconds, 3)
    time = format_estimate(took)
    return Reason.of("time", source, message, value=value, weight=weight, time=time, images=images, device=device)


def _retold(reason: Reason, took: TimeEstimate, images: int) -> Reason:
    """The reason with the time that is known now, where it tells the time of a device."""
    known = reason.setting == "time" and "device" in reason.arguments
    return _time_reason(took, images, str(reason.arguments["device"])) if known else reason


def _work(parameters: OptimizedParameters, items: int, images: int) -> Work:
    """Work of so many images with `items` forward items in all; of two passes, by what is known of the second."""
    passes, second = evaluations(parameters.sampler_name, parameters.num_steps) * images, parameters.second_pass
    if second is None:
        return Work(parameters.width, parameters.height, items, passes, images)
    second_passes = evaluations(parameters.sampler_name, second.steps) * images
    own = round(items * second_passes / (passes + second_passes))
    if second.forward_items and parameters.forward_items:
        own = round(items * second.forward_items / parameters.forward_items)
    earlier = Work(second.width, second.height, items - own, passes, 0)
    return Work(parameters.width, parameters.height, own, second_passes, images, earlier)


def _with_second_estimates(
    parameters: OptimizedParameters, items: int | None, work: Work, speed: Speed
) -> OptimizedParameters:
    """Return the settings with the items and the time of a second pass alone."""
    second = parameters.second_pass
    if second is None or work.earlier is None:
        return parameters
    seconds = work.items * speed.item_seconds(work)
    known = work.items if items is None else items
    enlarging = work.enlarging or None
    told = replace(second, forward_items=known, estimated_seconds=seconds, enlarging_seconds=enlarging)
    return replace(parameters, second_pass=told)


def _completed(
    request: MemoryRequest, speed: Speed, work: Work, cfg: float, second: SecondPass | None
) -> MemoryRequest:
    return replace(
        request,
        width=work.width,
        height=work.height,
        images=work.images,
        guided=cfg > 1,
        steps=round(work.all_passes / work.images),
        forward_items=work.items,
        rates=speed.rates(work),
        upscaling=upscaling_of(second),
    )


def _quality(choice: Choice, baseline: Baseline, table: Path) -> float:
    """Rough rank of a choice among those for one model, 0 to 1: by steps and area against the QUALITY profile."""
    intent, profile = baseline.request.analysis.intent, baseline.profile
    best = find_profile(profile.family, intent.artistic_style, Priority.QUALITY, zsnr=profile.zsnr, table=table)
    width, height, _ = choose_size(intent.content_type, AUTO, profile.native)
    steps = choice.steps * (ALIGN_YOUR_STEPS_WORTH if choice.schedule in AYS_TABLES else 1)
    by_steps = 1.0 if profile.fixed else min(1.0, steps / best.steps)
    by_area = min(1.0, choice.width * choice.height / (width * height))
    return round((0.75 if profile.fixed else 0.9) * by_steps**0.5 * by_area**0.5, 3)
