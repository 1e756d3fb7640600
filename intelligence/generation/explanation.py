"""Renders a story into words. Decides nothing: every sentence is a reason that was made where the choice was made."""

from __future__ import annotations

from ..memory import peak_line
from ..prompt import ArtisticStyle, ContentType, PromptAnalysis
from ..records import Reason
from .stages import Generation, GenerationExplanation, GenerationPlan, PromptRecommendations, Recommendations

Stage = PromptAnalysis | PromptRecommendations | GenerationPlan | Generation


def explain(story: Stage) -> GenerationExplanation:
    """What was chosen so far and why, from any object of the way: analysis, recommendations, plan or generation."""
    generation = story if isinstance(story, Generation) else None
    plan = generation.plan if generation else story if isinstance(story, GenerationPlan) else None
    recommendations = plan.recommendations if plan else story if isinstance(story, PromptRecommendations) else None
    analysis = recommendations.prompt_analysis if recommendations else story
    assert isinstance(analysis, PromptAnalysis)
    return GenerationExplanation(
        summary=" | ".join(_summary(analysis, recommendations, plan, generation)),
        lora_reasoning=_loras(recommendations),
        parameter_reasoning=_settings(analysis, recommendations),
        performance_notes=_performance(plan, generation),
    )


def as_text(explanation: GenerationExplanation) -> str:
    """The whole explanation as plain text, a line for each decision."""
    lines = [explanation.summary]
    for title, rows in (("LoRAs", explanation.lora_reasoning), ("Settings", explanation.parameter_reasoning)):
        if rows:
            lines += ["", title, *(f"  {name}: {why}" for name, why in rows.items())]
    if explanation.performance_notes:
        lines += ["", "Performance and notes", *(f"  {note}" for note in explanation.performance_notes)]
    return "\n".join(lines)


def _summary(
    analysis: PromptAnalysis,
    recommendations: PromptRecommendations | None,
    plan: GenerationPlan | None,
    generation: Generation | None,
) -> list[str]:
    intent = analysis.intent
    unsaid = (ArtisticStyle.UNSPECIFIED, ContentType.UNSPECIFIED)
    kind = " ".join(word for word in (intent.artistic_style, intent.content_type) if word not in unsaid)
    parts = [f"Prompt: {kind or 'no particular subject'}, {analysis.complexity_category.value}"]
    if recommendations:
        chosen = ", ".join(
            f"{lora.lora_name} (α={lora.suggested_alpha:.2f})" for lora in recommendations.suggested_loras
        )
        parts.append(f"LoRAs: {chosen or 'none'}")
        if isinstance(recommendations, Recommendations):
            parameters = recommendations.suggested_params
            parts.append(
                f"Settings: {parameters.num_steps} steps, CFG {parameters.guidance_scale:g}, "
                f"{parameters.sampler_name}/{parameters.scheduler}, {parameters.width}×{parameters.height}"
            )
    if plan:
        tiles = f", VAE tiles of {plan.memory.tile_size} px" if plan.memory.tile_size else ""
        fit = "" if plan.memory.fits else ", may not fit"
        parts.append(f"Memory: {plan.memory.strategy.value} on {plan.memory.device}{tiles}{fit}")
    if generation:
        seeds = ", ".join(str(seed) for seed in generation.seeds)
        parts.append(f"Seed: {seeds}" if len(generation.seeds) == 1 else f"Seeds: {seeds}")
        parts.append(f"Took {generation.generation_time_seconds:.1f} s")
    return parts


def _loras(recommendations: PromptRecommendations | None) -> dict[str, str]:
    if recommendations is None:
        return {}
    rows = {
        lora.lora_name: f"{lora.reasoning} (confidence {lora.confidence_score:.2f})"
        for lora in recommendations.suggested_loras
    }
    for rejected in recommendations.rejected:
        rows.setdefault(rejected.lora_name, f"not applied: {rejected.reason.evidence}")
    return rows


def _settings(analysis: PromptAnalysis, recommendations: PromptRecommendations | None) -> dict[str, str]:
    """Decision → why: how the prompt was read, then what was made of it."""
    parameters = recommendations.suggested_params if isinstance(recommendations, Recommendations) else None
    rows: dict[str, str] = {}
    for reason in (
        *analysis.reasons,
        *(recommendations.reasons if recommendations else ()),
        *(parameters.reasons if parameters else ()),
    ):
        rows[reason.setting] = (
            f"{rows[reason.setting]}; {_sentence(reason)}" if reason.setting in rows else _sentence(reason)
        )
    return rows


def _sentence(reason: Reason) -> str:
    return f"{reason.evidence} (otherwise {reason.otherwise})" if reason.otherwise else reason.evidence


def _performance(plan: GenerationPlan | None, generation: Generation | None) -> list[str]:
    if plan is None:
        return []
    parameters, memory = plan.parameters, plan.memory
    predicted_time = parameters.estimated_time_seconds
    notes = [_sentence(reason) for reason in memory.reasons]
    took = f", took {generation.generation_time_seconds:.1f} s" if generation else ""
    if predicted_time is not None or generation:
        notes.append(f"Time: predicted {_amount(predicted_time, 's')}{took}")
    counted = generation.forward_items if generation else None
    if parameters.forward_items is not None or counted is not None:
        known = "unknown" if parameters.forward_items is None else str(parameters.forward_items)
        notes.append(f"Forward passes: predicted {known}" + (f", computed {counted}" if counted is not None else ""))
    notes.append(peak_line(memory, generation.peak_vram_gb if generation else 0.0))
    notes += plan.recommendations.prompt_analysis.notes
    return notes + list(generation.notes if generation else ())


def _amount(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{value:.2f} {unit}" if value < 10 else f"{value:.0f} {unit}"
