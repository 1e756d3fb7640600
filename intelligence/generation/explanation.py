"""Renders stages into words. Decides nothing: every sentence is a reason that was made where the choice was made."""

from __future__ import annotations

from collections.abc import Iterable

from ..memory import MemoryPlan, budget_bars, describe, peak_line
from ..parameters import OptimizedParameters
from ..prompt import ArtisticStyle, ContentType, PromptAnalysis
from ..records import Reason
from ..units import format_duration, format_memory
from .generation_messages import GenerationMessage as Text
from .postprocess.steps import PostStep, StepKind
from .stages import Generation, GenerationExplanation, GenerationPlan, PromptRecommendations, Recommendations

Stage = PromptAnalysis | PromptRecommendations | GenerationPlan | Generation


def explain(stage: Stage) -> GenerationExplanation:
    """Return what was chosen up to `stage`, and why."""
    generation = stage if isinstance(stage, Generation) else None
    plan = generation.plan if generation else stage if isinstance(stage, GenerationPlan) else None
    recommendations = plan.recommendations if plan else stage if isinstance(stage, PromptRecommendations) else None
    analysis = recommendations.prompt_analysis if recommendations else stage
    assert isinstance(analysis, PromptAnalysis)

    summary, reasons, loras, notes = [_prompt(analysis)], [*analysis.reasons], {}, []
    if recommendations:
        summary.append(_loras(recommendations))
        reasons += recommendations.reasons
        loras = _lora_reasons(recommendations)
    if isinstance(recommendations, Recommendations):
        summary.append(_settings(recommendations.suggested_params))
        reasons += recommendations.suggested_params.reasons
    if plan:
        summary.append(_memory(plan.memory))
        notes = [reason_text(reason) for reason in plan.memory.reasons] + _costs(plan, generation) + [*analysis.notes]
        notes += [_step(step) for step in plan.postprocess]
    if generation:
        summary += _run(generation)
        notes += generation.notes
        if generation.best_of:
            reasons += generation.best_of.reasons
    return GenerationExplanation(" | ".join(summary), loras, _by_setting(reasons), notes)


def as_text(explanation: GenerationExplanation) -> str:
    """Return the whole explanation as plain text, a line for each decision."""
    lines = [explanation.summary]
    for title, rows in (("LoRAs", explanation.lora_reasoning), ("Settings", explanation.parameter_reasoning)):
        if rows:
            lines += ["", title, *(f"  {name}: {why}" for name, why in rows.items())]
    if explanation.performance_notes:
        lines += ["", "Performance and notes", *(f"  {note}" for note in explanation.performance_notes)]
    return "\n".join(lines)


def plan_lines(plan: MemoryPlan) -> list[str]:
    """Return a memory plan as text: budget bars, reasons, time, and the plans next to it."""
    lines = [*budget_bars(plan), ""]
    lines += [f"{setting}: {text}" for setting, text in _by_setting(plan.reasons).items()]
    if plan.seconds is not None:
        text = Text.PLAN_TIME if plan.speed_learned else Text.PLAN_TIME_GUESSED
        lines.append(text.format(time=format_duration(plan.seconds)))
    for title, option in ((Text.NEXT_FASTER, plan.next_faster), (Text.NEXT_SMALLER, plan.next_smaller)):
        if option is not None:
            line = title.format(option=describe(option), memory=format_memory(option.needed_gb))
            if option.seconds is not None:
                line = Text.OPTION_TIME.format(option=line, time=format_duration(option.seconds))
            lines.append(line)
    return lines


def reason_text(reason: Reason) -> str:
    """Return a reason as a sentence, with what would have been chosen without it."""
    if not reason.otherwise:
        return reason.evidence
    return Text.OTHERWISE.format(sentence=reason.evidence, otherwise=reason.otherwise)


def _by_setting(reasons: Iterable[Reason]) -> dict[str, str]:
    rows: dict[str, list[str]] = {}
    for reason in reasons:
        rows.setdefault(reason.setting, []).append(reason_text(reason))
    return {setting: "; ".join(texts) for setting, texts in rows.items()}


def _prompt(analysis: PromptAnalysis) -> str:
    intent = analysis.intent
    unsaid = (ArtisticStyle.UNSPECIFIED, ContentType.UNSPECIFIED)
    kind = " ".join(word for word in (intent.artistic_style, intent.content_type) if word not in unsaid)
    return Text.SUMMARY_PROMPT.format(kind=kind or Text.NO_SUBJECT.value, complexity=analysis.complexity_category.value)


def _loras(recommendations: PromptRecommendations) -> str:
    loras = ", ".join(
        Text.SUMMARY_LORA.format(name=lora.lora_name, strength=lora.suggested_alpha)
        for lora in recommendations.suggested_loras
    )
    return Text.SUMMARY_LORAS.format(loras=loras) if loras else Text.SUMMARY_NO_LORAS.value


def _settings(parameters: OptimizedParameters) -> str:
    return Text.SUMMARY_SETTINGS.format(
        steps=parameters.num_steps,
        cfg=parameters.guidance_scale,
        sampler=parameters.sampler_name,
        scheduler=parameters.scheduler,
        width=parameters.width,
        height=parameters.height,
    )


def _memory(plan: MemoryPlan) -> str:
    text = Text.SUMMARY_MEMORY_TILES if plan.tile_size else Text.SUMMARY_MEMORY
    memory = text.format(strategy=plan.strategy.value, device=plan.device, tile=plan.tile_size)
    return memory if plan.fits else Text.MAY_NOT_FIT.format(memory=memory)


def _run(generation: Generation) -> list[str]:
    seeds = ", ".join(str(seed) for seed in generation.seeds)
    text = Text.SUMMARY_SEED if len(generation.seeds) == 1 else Text.SUMMARY_SEEDS
    took = format_duration(generation.generation_time_seconds)
    return [text.format(seeds=seeds), Text.SUMMARY_TIME.format(took=took)]


def _lora_reasons(recommendations: PromptRecommendations) -> dict[str, str]:
    rows = {
        lora.lora_name: Text.LORA_CHOSEN.format(reasons=lora.reasoning, confidence=lora.confidence_score)
        for lora in recommendations.suggested_loras
    }
    for rejected in recommendations.rejected:
        rows.setdefault(rejected.lora_name, Text.LORA_REJECTED.format(reason=rejected.reason.evidence))
    return rows


def _step(step: PostStep) -> str:
    text = reason_text(step.reason)
    if not step.on and step.kind in (StepKind.REPAIR, StepKind.SEAM_CHECK):
        return Text.STEP_OFF.format(step=text)
    if step.seconds:
        text = Text.STEP_TIME.format(step=text, time=format_duration(step.seconds))
    if step.memory_gb:
        text = Text.STEP_MEMORY.format(step=text, memory=format_memory(step.memory_gb))
    return text


def _costs(plan: GenerationPlan, generation: Generation | None) -> list[str]:
    seconds, items = plan.parameters.estimated_time_seconds, plan.parameters.forward_items
    time = Text.UNKNOWN.value if seconds is None else format_duration(seconds)
    passes = Text.UNKNOWN.value if items is None else str(items)
    if span := plan.parameters.forward_items_interval:
        passes = Text.FROM_TO.format(low=span[0], high=span[1])
    lines = []
    if generation is not None:
        took = format_duration(generation.generation_time_seconds)
        lines.append(Text.TIME_TAKEN.format(predicted=time, took=took))
    elif seconds is not None:
        lines.append(Text.TIME.format(predicted=time))
    if generation is not None and generation.forward_items is not None:
        lines.append(Text.FORWARD_ITEMS_COMPUTED.format(predicted=passes, computed=generation.forward_items))
    elif items is not None:
        lines.append(Text.FORWARD_ITEMS.format(predicted=passes))
    return [*lines, peak_line(plan.memory, generation.peak_vram_gb if generation else 0.0)]
