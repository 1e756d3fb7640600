"""A memory plan as text: one bar a stage, filled as far as the stage takes of the budget."""

from __future__ import annotations

from .plan import MemoryPlan

WIDTH = 24
"""Characters of a bar; what goes beyond the budget goes on past its end."""

NAMES = {"text": "text", "lora": "LoRAs", "unet": "steps", "vae": "decode"}


def budget_bars(plan: MemoryPlan, measured_gb: float | None = None) -> list[str]:
    """Lines of text: the budget, each stage's predicted peak beside it, and what was measured.

    Args:
        measured_gb: what `track_usage` measured of the whole run, None before it.
    """
    scale = plan.budget_gb or max(plan.stages.values(), default=0.0) or 1.0
    lines = ["Budget: no limit is known" if plan.budget_gb is None else f"Budget: {plan.budget_gb:.2f} GiB"]
    for stage, peak in plan.stages.items():
        whole = max(0, round(peak / scale * WIDTH))
        held = min(whole, round((plan.context_gb + plan.resident.get(stage, 0.0)) / scale * WIDTH))
        bar = ("█" * held + "▒" * (whole - held)).ljust(WIDTH, "·")
        over = "" if plan.budget_gb is None or peak <= plan.budget_gb else " over budget"
        lines.append(f"{NAMES.get(stage, stage):<6} {bar} {peak:.2f} GiB{over}")
    lines.append("█ weights and context, ▒ activations, · free")
    if measured_gb:
        # torch does not count the driver's context.
        predicted = plan.predicted_peak_gb - plan.context_gb
        lines.append(f"Peak: predicted {predicted:.2f} GiB, measured {measured_gb:.2f} GiB (without the context)")
    return lines
