"""Chooses the settings: the family's row of the table, then what the user set, then what the budgets need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..config import GenerationConstraints, Priority, data_folder
from ..errors import InvalidInputError
from ..learning import Timing
from ..memory import MemoryManager, MemoryPlan, Resources
from ..models import Architecture, Family, ModelEvidence
from ..models.family import TITLES
from ..prompt import ComplexityCategory, PromptAnalysis
from ..records import Reason, Source
from .budget import Choice, TimeBudget, cutoff_reason, fit_memory, fit_time, spoken
from .neighbours import neighbours
from .parameters import MAX_IMAGES, Improvements, OptimizedParameters
from .profiles import Profile, profile
from .resolution import choose_size
from .row import LoRALike, row_for
from .samplers import evaluations
from .schedules import ZSNR_SCHEDULERS, schedule_sigmas
from .speed import TimeEstimate, learn, timing_key
from .timing import Work

SET_BY_USER = "set by the user"

ALIASES = {"steps": "num_steps", "cfg": "guidance_scale", "cfg_scale": "guidance_scale", "sampler": "sampler_name"}

IMPROVEMENTS = tuple(field.name for field in fields(Improvements))

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
    *IMPROVEMENTS,
)

USER_TABLE = "families.json"
"""Name of the user's own table of families in the data folder."""

LIKE_TWENTY = 1.8
"""Steps of an ordinary schedule that a step of Align Your Steps is about worth [RMSE on the analytic mixture: 10 of it
.014, karras 10 .015, 20 .004; normal 30 .039]; for the rough rank of settings only."""


Others = tuple[tuple[Profile, str], ...]
"""Rows that would have held under other circumstances, and which those are."""


class ParameterOptimizer:
    """Steps, cfg, sampler, scheduler and size for a prompt, a model and a machine."""

    def __init__(
        self,
        memory: MemoryManager | None = None,
        timings: Callable[[str], Sequence[Timing]] | None = None,
        table: Path | None = None,
    ) -> None:
        """
        Args:
            timings: key (`OptimizedParameters.timing_key`) → earlier runs, oldest first: `LearningEngine().timings`.
            table: the user's table of families, whose families stand in place of the built-in ones (see
                `families.json`); None: `families.json` in the data folder. It need not exist.
        """
        self.memory = memory or MemoryManager()
        self._timings = timings or (lambda key: ())
        self._own_table = table

    @property
    def table(self) -> Path:
        """Where the user's table of families lies, if there is one."""
        return self._own_table or data_folder() / USER_TABLE

    def canonical(self, overrides: Mapping[str, object] | None) -> dict[str, Any]:
        """`overrides` under their full names (`steps` → `num_steps` …).

        Raises InvalidInputError for a name that is no setting, or that is given twice.
        """
        given: dict[str, Any] = {}
        for name, value in (overrides or {}).items():
            full = ALIASES.get(name, name)
            if full not in OVERRIDES:
                known = ", ".join((*OVERRIDES, *ALIASES))
                raise InvalidInputError(f"{name!r} is no setting that can be passed; known: {known}")
            if full in given:
                raise InvalidInputError(f"{full} is given twice")
            given[full] = value
        return given

    def optimize(
        self,
        prompt_analysis: PromptAnalysis,
        constraints: GenerationConstraints | None = None,
        *,
        model: ModelEvidence | None = None,
        loras: Sequence[LoRALike] = (),
        images: int = 1,
        aspect: str = "auto",
        overrides: Mapping[str, object] | None = None,
        resources: Resources | None = None,
        weights_gb: Mapping[str, float] | None = None,
        improve: bool = True,
    ) -> OptimizedParameters:
        """The settings for a prompt, each with its reason.

        What `overrides` set is kept as it is; budgets change the rest. Over the time budget: late guidance cutoff,
        Align Your Steps, fewer steps (not below 8), a smaller size (not below 0.8 of the area). Over the memory budget:
        what the memory plan can do (tiles, smaller forward batches, offloading), then a smaller size. A distilled model
        keeps its steps and cfg, one with zero terminal SNR its schedule and guidance. A budget that cannot be met is
        named in the reasons, with the nearest plan. The upper end of the predicted interval is held against a time
        budget.

        Args:
            model: what the host knows of the base model; None: unknown.
            loras: the chosen LoRAs; a few-step LoRA among them decides steps, cfg and sampler.
            images: how many are wanted; `estimated_time_seconds` is for all of them.
            aspect: see `choose_size`.
            overrides: `num_steps` (`steps`), `guidance_scale` (`cfg`, `cfg_scale`), `sampler_name` (`sampler`),
                `scheduler`, `width`, `height`, `clip_skip`, `batch_size`, `rescale_cfg`, and those of `Improvements`.
            resources: the machine; None: detected.
            weights_gb: true sizes of the model by stage, where the host knows them.
            improve: whether anything beyond the plain sampler may be chosen (Align Your Steps, a guidance cutoff,
                RescaleCFG).

        Raises:
            InvalidInputError: an unknown or impossible override, an unknown aspect, a table of families that cannot be
                used.
        """
        constraints = constraints or GenerationConstraints()
        given = self.canonical(overrides)
        finding, row, reasons = row_for(prompt_analysis, constraints.priority, model, loras, self.table)
        if not improve:
            row = replace(row, schedule=None, rescale_cfg=0.0, cfg_cutoff_sigma=0.0)
        others = _others(row, prompt_analysis, self.table)
        choice = _baseline(row, others, prompt_analysis, aspect, given, reasons)
        rescale = given.get("rescale_cfg", row.rescale_cfg)
        _checked(choice, rescale, given)
        choice = _improved(choice, row, given, reasons)

        resources = resources or self.memory.detect_resources()
        architecture = finding.architecture
        key = timing_key(resources.device, architecture, model, (weights_gb or {}).get("unet"))
        speed = learn(self._timings(key), key)

        def estimate(tried: Choice) -> TimeEstimate:
            return speed.estimate(tried.work(images))

        def memory_plan(tried: Choice) -> MemoryPlan:
            return self.memory.plan(
                tried.width,
                tried.height,
                min(images, MAX_IMAGES),
                architecture=architecture,
                cfg=tried.cfg > 1,
                max_vram_gb=constraints.max_vram_gb,
                resources=resources,
                weights_gb=weights_gb,
            )

        changes: list[str] = []
        free_size = not {"width", "height"} & given.keys()
        if constraints.max_time_seconds is not None:
            bendable = improve and not row.fixed and not row.zsnr and row.family is not Family.UNKNOWN
            time_budget = TimeBudget(
                limit=constraints.max_time_seconds,
                estimate=estimate,
                schedule=_schedule_for(row, architecture) if bendable and "scheduler" not in given else None,
                free_cutoff=bendable and not set(IMPROVEMENTS) & given.keys(),
                free_steps=not row.fixed and "num_steps" not in given,
                free_size=free_size,
            )
            choice = fit_time(choice, time_budget, reasons, changes)
        choice, memory = fit_memory(choice, memory_plan, free_size, reasons, changes)
        took = estimate(choice)
        if "time" not in reasons:
            many = f" for {images} images" if images > 1 else ""
            reasons["time"] = Reason("time", f"{spoken(took)}{many} on {resources.name}", 1.0 if took.learned else 0.3)
        parameters = OptimizedParameters(
            num_steps=choice.steps,
            guidance_scale=float(choice.cfg),
            width=choice.width,
            height=choice.height,
            sampler_name=choice.sampler,
            scheduler=choice.scheduler,
            clip_skip=given.get("clip_skip"),
            estimated_time_seconds=took.seconds,
            estimated_vram_gb=0.0 if resources.device == "cpu" else memory.predicted_peak_gb,
            estimated_quality_score=_quality(choice, row, prompt_analysis, self.table),
            optimization_strategy=", ".join((constraints.priority.value, *changes)),
            confidence=finding.confidence,
            family=row.family,
            batch_size=given.get("batch_size", images),
            rescale_cfg=rescale,
            sigmas=schedule_sigmas(choice.schedule, choice.steps) if choice.schedule else None,
            reasons=tuple(reasons.values()),
            max_vram_gb=constraints.max_vram_gb,
            improvements=choice.improvements,
            forward_items=choice.items * images,
            max_time_seconds=constraints.max_time_seconds,
            time_interval_seconds=took.interval,
            timing_key=key,
            decode_items=speed.decode_items(choice.work(images)),
        )
        parameters.check()
        return parameters

    def estimate(self, parameters: OptimizedParameters, items: int) -> TimeEstimate:
        """How long a run with `parameters` takes on the device that they were chosen for, with `items` forward items of
        all images."""
        key = parameters.timing_key
        return learn(self._timings(key), key).estimate(_work(parameters, items))

    def predicted(self, parameters: OptimizedParameters, items: int) -> OptimizedParameters:
        """`parameters` with what `items` forward items of all images take by what is known now."""
        key = parameters.timing_key
        speed, work = learn(self._timings(key), key), _work(parameters, items)
        took = speed.estimate(work)
        return replace(
            parameters,
            forward_items=items,
            estimated_time_seconds=took.seconds,
            time_interval_seconds=took.interval,
            decode_items=speed.decode_items(work),
        )

    def item_seconds(self, parameters: OptimizedParameters) -> float | None:
        """What a forward item of `parameters` took in earlier runs of this model and device; None: there are none."""
        key, items = parameters.timing_key, parameters.forward_items
        timings = self._timings(key) if key and items else ()
        return learn(timings, key).item_seconds(_work(parameters, items)) if timings and items else None

    def neighbours(self, parameters: OptimizedParameters, count: int) -> list[OptimizedParameters]:
        """`parameters` first, then at most `count` − 1 settings near them that are worth comparing; deterministic.

        What the user set stays. A distilled or zero-terminal-SNR model keeps what it needs, so there may be fewer.
        Raises InvalidInputError for a count below 1.
        """
        kept = {reason.setting for reason in parameters.reasons if reason.source is Source.USER}
        return neighbours(parameters, count, kept, self.estimate, self.table)


def _work(parameters: OptimizedParameters, items: int) -> Work:
    """What `items` forward items of all images come to."""
    size, images = (parameters.width, parameters.height), parameters.batch_size
    return Work(*size, items, evaluations(parameters.sampler_name, parameters.num_steps) * images, images)


def _others(row: Profile, analysis: PromptAnalysis, table: Path) -> Others:
    style, zsnr = analysis.intent.artistic_style, row.zsnr
    rows = (
        (profile(row.family, style, zsnr=zsnr, path=table), "at BALANCED priority"),
        (profile(row.family, None, row.priority, zsnr=zsnr, path=table), "for another style"),
    )
    return (
        *(rows if not row.fixed else ()),
        (profile(Family.UNKNOWN, style, row.priority, path=table), "for an unknown model"),
    )


def _baseline(
    row: Profile,
    others: Others,
    analysis: PromptAnalysis,
    aspect: str,
    given: Mapping[str, Any],
    reasons: dict[str, Reason],
) -> Choice:
    """The row with the user's values in it. Adds a reason per value."""
    width, height, size_reason = choose_size(analysis.intent.content_type, aspect, row.native)
    schedule = row.schedule if "scheduler" not in given else None
    steps, steps_reason = _steps(row, others, analysis, given)
    choice = Choice(
        steps=steps,
        cfg=given.get("guidance_scale", row.cfg),
        sampler=given.get("sampler_name", row.sampler),
        scheduler=given.get("scheduler", row.scheduler),
        schedule=schedule,
        width=given.get("width", width),
        height=given.get("height", height),
    )
    reasons["steps"] = steps_reason
    for what, name, value, table in (
        ("cfg", "guidance_scale", choice.cfg, row.cfg),
        ("sampler", "sampler_name", choice.sampler, row.sampler),
        ("scheduler", "scheduler", choice.scheduler, row.scheduler),
    ):
        reasons[what] = _reason(what, value, table, name in given, row, others)
    if schedule:
        reasons["scheduler"] = Reason(
            "scheduler",
            f"Align Your Steps as sigmas ({row.source}); "
            f"{choice.scheduler} stands in for it where a scheduler's name is needed",
            otherwise=choice.scheduler,
        )
    if rescale := given.get("rescale_cfg", row.rescale_cfg):
        text = f"RescaleCFG {rescale} for v-prediction with zero terminal SNR ({row.source})"
        text = f"{SET_BY_USER}: {rescale}" if "rescale_cfg" in given else text
        reasons["rescale_cfg"] = Reason(
            "rescale_cfg",
            text,
            otherwise="off, which burns colours" if row.zsnr else "off",
            source=Source.USER if "rescale_cfg" in given else Source.MODEL_FAMILY,
        )
    sized = {"width", "height"} & given.keys()
    if sized:
        text = f"{SET_BY_USER}: {' and '.join(sorted(sized, reverse=True))}"
        size_reason = Reason("size", text, otherwise=f"{width}x{height}", source=Source.USER)
    reasons["size"] = size_reason
    reasons["clip_skip"] = _clip_skip_reason(given.get("clip_skip"), row)
    if "batch_size" in given:
        reasons["batch_size"] = Reason("batch_size", SET_BY_USER, source=Source.USER)
    return choice


def _steps(row: Profile, others: Others, analysis: PromptAnalysis, given: Mapping[str, Any]) -> tuple[int, Reason]:
    if "num_steps" in given:
        steps = given["num_steps"]
        return steps, _reason("steps", steps, row.steps, True, row, others)
    if row.schedule and "scheduler" in given:
        steps = 2 * row.steps
        text = f"{steps}: {given['scheduler']} needs about twice the steps of Align Your Steps"
        return steps, Reason("steps", text, otherwise=str(row.steps))
    if row.complex_steps and analysis.complexity_category is ComplexityCategory.COMPLEX and not row.fixed:
        text = f"{row.complex_steps}, as the prompt asks for much in one picture (source: {row.source})"
        return row.complex_steps, Reason("steps", text, otherwise=str(row.steps))
    return row.steps, _reason("steps", row.steps, row.steps, False, row, others)


def _improved(choice: Choice, row: Profile, given: Mapping[str, Any], reasons: dict[str, Reason]) -> Choice:
    """`choice` with what is done beyond the plain sampler."""
    named = {name: given[name] for name in IMPROVEMENTS if name in given}
    if named:
        improvements = Improvements(**{"cfg_cutoff_sigma": 0.0, **named})
        improvements.check()
        text = f"{SET_BY_USER}: " + ", ".join(f"{k} {v}" for k, v in named.items())
        reasons["guidance"] = Reason("guidance", text, source=Source.USER)
        return replace(choice, improvements=improvements)
    cut = replace(choice, improvements=Improvements(row.cfg_cutoff_sigma))
    if cut.items == choice.items:
        return choice
    reasons["guidance"] = cutoff_reason(cut, choice, f"as {row.priority.value} priority favours time")
    return cut


def _reason(what: str, value: Any, table: Any, by_user: bool, row: Profile, others: Others) -> Reason:
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    if not by_user:
        text = f"{shown}, usual for {TITLES[row.family]} at {row.priority.value} priority (source: {row.source})"
        return Reason(what, text, otherwise=_elsewhere(what, value, others), source=Source.MODEL_FAMILY)
    warning = ""
    if row.fixed and what in ("steps", "cfg"):
        low, high = (row.step_range if what == "steps" else row.cfg_range) or (table, table)
        if not low <= value <= high:
            span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            warning = f"; a {TITLES[row.family]} model was distilled for {span}"
    elif row.zsnr and what == "scheduler" and value not in ZSNR_SCHEDULERS:
        warning = "; with zero terminal SNR it spends most steps at useless noise levels"
    otherwise = None if value == table else str(table)
    return Reason(what, f"{SET_BY_USER}: {shown}{warning}", otherwise=otherwise, source=Source.USER)


def _elsewhere(what: str, value: Any, others: Others) -> str | None:
    """What it would have been, in the first row that has another value."""
    for other, when in others:
        if (found := getattr(other, what)) != value:
            return f"{found:g} {when}" if isinstance(found, float) else f"{found} {when}"
    return None


def _clip_skip_reason(asked: int | None, row: Profile) -> Reason:
    own = "SD 1.5 and 2 read the last layer" if row.family in (Family.SD15, Family.SD2) else "SDXL reads layer -2"
    if asked is None:
        note = "" if own.startswith("SD 1.5") else ", which is what `clip skip 2` means"
        return Reason("clip_skip", f"none: the model's own layer ({own}{note})")
    warning = ""
    if asked != -2 and not own.startswith("SD 1.5"):
        warning = "; SDXL was trained on layer -2 and falls apart with another"
    text, otherwise = f"{SET_BY_USER}: {asked}{warning}", f"the model's own layer ({own})"
    return Reason("clip_skip", text, otherwise=otherwise, source=Source.USER)


def _checked(choice: Choice, rescale: float, given: Mapping[str, Any]) -> None:
    """Raise InvalidInputError for impossible values before anything is computed from them."""
    for name in ("sampler_name", "scheduler"):
        if name in given and not (isinstance(given[name], str) and given[name]):
            raise InvalidInputError(f"{name} must be ComfyUI's name of one, got {given[name]!r}")
    OptimizedParameters(
        num_steps=choice.steps,
        guidance_scale=choice.cfg,
        width=choice.width,
        height=choice.height,
        sampler_name=choice.sampler,
        scheduler=choice.scheduler,
        clip_skip=given.get("clip_skip"),
        batch_size=given.get("batch_size", 1),
        rescale_cfg=rescale,
        improvements=choice.improvements,
    ).check()


def _schedule_for(row: Profile, architecture: Architecture) -> str | None:
    """The explicit schedule that saves steps for this row's noise levels; none was made for SD 2."""
    if row.family is Family.SD2:
        return None
    return "ays_sd1" if architecture is Architecture.SD1 else "ays"


def _quality(choice: Choice, row: Profile, analysis: PromptAnalysis, table: Path) -> float:
    """Rough rank of a choice among those for one model: by steps and area against the row for QUALITY."""
    best = profile(row.family, analysis.intent.artistic_style, Priority.QUALITY, zsnr=row.zsnr, path=table)
    native = choose_size(analysis.intent.content_type, "auto", row.native)
    steps = choice.steps * (LIKE_TWENTY if choice.schedule else 1)
    by_steps = 1.0 if row.fixed else min(1.0, steps / best.steps)
    by_area = min(1.0, choice.width * choice.height / (native[0] * native[1]))
    return round((0.75 if row.fixed else 0.9) * by_steps**0.5 * by_area**0.5, 3)
