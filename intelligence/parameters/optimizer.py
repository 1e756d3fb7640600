"""Chooses the settings: the family's row of the table, then what the user set, then what the budgets need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from ..config import GenerationConstraints, Priority
from ..errors import InvalidInputError
from ..memory import MemoryManager, Resources
from ..prompt import PromptAnalysis
from ..records import Reason
from ..registry import (
    Architecture,
    Family,
    FamilyFinding,
    LoRAKind,
    ModelEvidence,
    ModelMetadata,
    identify_family,
)
from ..registry.family import DISTILLED
from .budget import Choice, TimeBudget, fit_time, memory_reason
from .neighbours import neighbours
from .parameters import MAX_IMAGES, OptimizedParameters
from .profiles import ZSNR_SCHEDULERS, Profile, profile, schedule_sigmas
from .resolution import choose_size
from .timing import estimate, throughput_key

SET_BY_USER = "set by the user"

ALIASES = {"steps": "num_steps", "cfg": "guidance_scale", "cfg_scale": "guidance_scale", "sampler": "sampler_name"}

OVERRIDES = (
    "num_steps",
    "guidance_scale",
    "sampler_name",
    "scheduler",
    "width",
    "height",
    "clip_skip",
    "batch_size",
)


class LoRALike(Protocol):
    """A chosen LoRA, as far as the settings depend on it."""

    lora_metadata: ModelMetadata


class ParameterOptimizer:
    """Steps, cfg, sampler, scheduler and size for a prompt, a model and a machine."""

    def __init__(
        self, memory: MemoryManager | None = None, throughput: Callable[[str], float | None] | None = None
    ) -> None:
        """`throughput`: key (`throughput_key`) → learned TFLOP/s or None, e.g. `LearningEngine().throughput`."""
        self.memory = memory or MemoryManager()
        self._throughput = throughput or (lambda key: None)

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
    ) -> OptimizedParameters:
        """The settings for a prompt, each with its reason.

        What `overrides` set is kept as it is; budgets change the rest. The memory budget is met by the memory plan
        (tiles, smaller forward batches, offloading), not by other settings. Over the time budget: Align Your Steps,
        fewer steps (not below 8), a smaller size (not below 0.8 of the area). A distilled model keeps its steps and
        cfg. A budget that cannot be met is named in the reasons, with the nearest plan.

        Args:
            model: what the host knows of the base model; None: unknown.
            loras: the chosen LoRAs; a few-step LoRA among them decides steps, cfg and sampler.
            images: how many are wanted; `estimated_time_seconds` is for all of them.
            aspect: see `choose_size`.
            overrides: `num_steps` (`steps`), `guidance_scale` (`cfg`, `cfg_scale`), `sampler_name` (`sampler`),
                `scheduler`, `width`, `height`, `clip_skip`, `batch_size`.
            resources: the machine; None: detected.
            weights_gb: true sizes of the model by stage, where the host knows them.

        Raises:
            InvalidInputError: an unknown or impossible override, an unknown aspect.
        """
        constraints = constraints or GenerationConstraints()
        given = self.canonical(overrides)
        finding, row, reasons = _row_for(prompt_analysis, constraints, model, loras)
        choice = _baseline(row, prompt_analysis, aspect, given, reasons)
        _checked(choice, row, given)

        resources = resources or self.memory.detect_resources()
        architecture = finding.architecture
        key = throughput_key(resources.device, model)
        device_speed = self._throughput(key)

        def seconds(tried: Choice) -> float:
            return estimate(tried.work(images, architecture), key, device_speed).seconds

        changes: list[str] = []
        if constraints.max_time_seconds is not None:
            time_budget = TimeBudget(
                limit=constraints.max_time_seconds,
                seconds=seconds,
                learned=device_speed is not None,
                schedule=_schedule_for(row, architecture) if "scheduler" not in given else None,
                free_steps=not row.fixed and "num_steps" not in given,
                free_size=not {"width", "height"} & given.keys(),
            )
            choice = fit_time(choice, time_budget, reasons, changes)

        memory_plan = self.memory.plan(
            choice.width,
            choice.height,
            min(images, MAX_IMAGES),
            architecture=architecture,
            cfg=choice.cfg > 1,
            max_vram_gb=constraints.max_vram_gb,
            resources=resources,
            weights_gb=weights_gb,
        )
        if short := memory_reason(memory_plan):
            reasons["memory"] = short
        took = seconds(choice)
        reasons["time"] = reasons.get("time") or _time_reason(took, images, device_speed, resources)
        parameters = OptimizedParameters(
            num_steps=choice.steps,
            guidance_scale=float(choice.cfg),
            width=choice.width,
            height=choice.height,
            sampler_name=choice.sampler,
            scheduler=choice.scheduler,
            clip_skip=given.get("clip_skip"),
            estimated_time_seconds=took,
            estimated_vram_gb=0.0 if resources.device == "cpu" else memory_plan.predicted_peak_gb,
            estimated_quality_score=_quality(choice, row, prompt_analysis),
            optimization_strategy=", ".join((constraints.priority.value, *changes)),
            confidence=finding.confidence,
            family=row.family,
            batch_size=given.get("batch_size", images),
            rescale_cfg=row.rescale_cfg,
            sigmas=schedule_sigmas(choice.schedule, choice.steps) if choice.schedule else None,
            reasons=tuple(reasons.values()),
            max_vram_gb=constraints.max_vram_gb,
        )
        parameters.check()
        return parameters

    def neighbours(self, parameters: OptimizedParameters, count: int) -> list[OptimizedParameters]:
        """`parameters` first, then at most `count` − 1 settings near them that are worth comparing; deterministic.

        What the user set stays. A distilled or zero-terminal-SNR model keeps what it needs, so there may be fewer.
        """
        kept = {reason.what for reason in parameters.reasons if reason.evidence.startswith(SET_BY_USER)}
        return neighbours(parameters, count, kept)


def _row_for(
    analysis: PromptAnalysis, constraints: GenerationConstraints, model: ModelEvidence | None, loras: Sequence[LoRALike]
) -> tuple[FamilyFinding, Profile, dict[str, Reason]]:
    """The family, its row of the table, and the reason."""
    evidence = model or ModelEvidence()
    finding = identify_family(evidence)
    if finding.family is Family.UNKNOWN and finding.architecture in (Architecture.UNKNOWN, Architecture.SDXL):
        finding = _from_company(analysis, loras, finding)
    style, priority = analysis.intent.artistic_style, constraints.priority
    row = profile(finding.family, style, priority, finding.few_steps, finding.zsnr)
    text = f"{finding.family.value}: {finding.reason}"
    if finding.family is Family.UNKNOWN:
        text = f"unknown family ({finding.reason}): safe defaults; name the family to get its own"
    reasons = {"family": Reason("family", text, finding.confidence)}
    speed = next((found for lora in loras if (found := _speed_family(lora.lora_metadata))), None)
    if speed is not None and not row.fixed:
        name, few = speed
        distilled = profile(few.family, style, priority, few.few_steps, finding.zsnr)
        otherwise = f"{row.steps} steps, cfg {row.cfg:g}, {row.sampler}"
        row = replace(
            distilled,
            native=row.native,
            quality_tags=row.quality_tags,
            quality_front=row.quality_front,
            negative_hints=row.negative_hints,
        )
        reasons["few-step LoRA"] = Reason(
            "few-step LoRA", f"{name} is applied, so {few.family.value} settings hold", few.confidence, otherwise
        )
    return finding, row, reasons


def _from_company(analysis: PromptAnalysis, loras: Sequence[LoRALike], finding: FamilyFinding) -> FamilyFinding:
    """The family that the applied LoRAs were made for, else the one whose quality tags the prompt uses."""
    known = [lora.lora_metadata for lora in loras if lora.lora_metadata.family not in (Family.UNKNOWN, *DISTILLED)]
    if known:
        first = known[0]
        return replace(finding, family=first.family, confidence=0.4, reason=f"the LoRA {first.name} was made for it")
    if analysis.quality_family in list(Family):
        family = Family(analysis.quality_family)
        return replace(finding, family=family, confidence=0.3, reason="the prompt uses its quality tags")
    return finding


def _speed_family(lora: ModelMetadata) -> tuple[str, FamilyFinding] | None:
    if lora.lora_kind is not LoRAKind.SPEED:
        return None
    named = identify_family(ModelEvidence(name=lora.name, architecture=lora.architecture))
    family = lora.family if lora.family in DISTILLED else named.family
    return (lora.name, replace(named, family=family)) if family in DISTILLED else None


def _baseline(
    row: Profile, analysis: PromptAnalysis, aspect: str, given: Mapping[str, Any], reasons: dict[str, Reason]
) -> Choice:
    """The row with the user's values in it. Adds a reason per value."""
    width, height, size_reason = choose_size(analysis.intent.content_type, aspect, row.native)
    steps = given.get("num_steps", row.steps)
    scheduler = given.get("scheduler", row.scheduler)
    schedule = row.schedule if "scheduler" not in given else None
    doubled = row.schedule is not None and schedule is None and "num_steps" not in given
    if doubled:
        steps = 2 * row.steps
    values = (
        ("steps", "num_steps", steps, row.steps),
        ("cfg", "guidance_scale", given.get("guidance_scale", row.cfg), row.cfg),
        ("sampler", "sampler_name", given.get("sampler_name", row.sampler), row.sampler),
        ("scheduler", "scheduler", scheduler, row.scheduler),
    )
    for what, name, value, table in values:
        reasons[what] = _reason(what, value, table, name in given, row)
    if doubled:
        text = f"{steps}: {scheduler} needs about twice the steps of Align Your Steps"
        reasons["steps"] = Reason("steps", text, otherwise=str(row.steps))
    if schedule and "scheduler" not in given:
        reasons["scheduler"] = Reason(
            "scheduler",
            f"Align Your Steps as sigmas ({row.source}); "
            f"{scheduler} stands in for it where a scheduler's name is needed",
            otherwise=scheduler,
        )
    if row.rescale_cfg:
        text = f"RescaleCFG {row.rescale_cfg:g} for v-prediction with zero terminal SNR ({row.source})"
        reasons["rescale_cfg"] = Reason("rescale_cfg", text, otherwise="off, which burns colours")
    sized = {"width", "height"} & given.keys()
    if sized:
        text = f"{SET_BY_USER}: {' and '.join(sorted(sized, reverse=True))}"
        size_reason = Reason("size", text, otherwise=f"{width}x{height}")
    reasons["size"] = size_reason
    if given.get("clip_skip") is not None:
        reasons["clip_skip"] = Reason("clip_skip", SET_BY_USER, otherwise="the model's own layer (-2 for SDXL)")
    if "batch_size" in given:
        reasons["batch_size"] = Reason("batch_size", SET_BY_USER)
    return Choice(
        steps=steps,
        cfg=given.get("guidance_scale", row.cfg),
        sampler=given.get("sampler_name", row.sampler),
        scheduler=scheduler,
        schedule=schedule,
        width=given.get("width", width),
        height=given.get("height", height),
    )


def _reason(what: str, value: Any, table: Any, by_user: bool, row: Profile) -> Reason:
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    if not by_user:
        return Reason(
            what, f"{shown}, usual for {row.family.value} at {row.priority.value} priority (source: {row.source})"
        )
    warning = ""
    if value != table and row.fixed and what in ("steps", "cfg"):
        warning = f"; a {row.family.value} model was distilled for {table}"
    elif row.zsnr and what == "scheduler" and value not in ZSNR_SCHEDULERS:
        warning = "; with zero terminal SNR it spends most steps at useless noise levels"
    return Reason(what, f"{SET_BY_USER}: {shown}{warning}", otherwise=None if value == table else str(table))


def _checked(choice: Choice, row: Profile, given: Mapping[str, Any]) -> None:
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
        rescale_cfg=row.rescale_cfg,
    ).check()


def _schedule_for(row: Profile, architecture: Architecture) -> str | None:
    """The explicit schedule that saves steps for this row, if it may be used."""
    if row.fixed or row.zsnr or row.family in (Family.UNKNOWN, Family.SD2):
        return None
    return "ays_sd1" if architecture is Architecture.SD1 else "ays"


def _time_reason(seconds: float, images: int, throughput: float | None, resources: Resources) -> Reason:
    basis = (
        f"from the speed of earlier runs ({throughput:.3g} TFLOP/s)"
        if throughput
        else "a cautious guess: the speed of this device is not known yet"
    )
    many = f" for {images} images" if images > 1 else ""
    return Reason("time", f"about {seconds:.0f} s{many} on {resources.name}, {basis}", 1.0 if throughput else 0.3)


def _quality(choice: Choice, row: Profile, analysis: PromptAnalysis) -> float:
    """Rough rank of a choice among those for one model: by steps and area against the row for QUALITY."""
    best = profile(row.family, analysis.intent.artistic_style, Priority.QUALITY, zsnr=row.zsnr)
    native = choose_size(analysis.intent.content_type, "auto", row.native)
    # 10 steps of AYS err as little as 20 of karras.
    steps = choice.steps * (2 if choice.schedule else 1)
    by_steps = 1.0 if row.fixed else min(1.0, steps / best.steps)
    by_area = min(1.0, choice.width * choice.height / (native[0] * native[1]))
    return round((0.75 if row.fixed else 0.9) * by_steps**0.5 * by_area**0.5, 3)
