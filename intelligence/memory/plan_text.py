"""Parts of a memory plan as text: one bar a stage, filled with its share of the budget, and its options."""

from __future__ import annotations

from .plan import MemoryPlan, PlanOption

BAR_WIDTH = 24
"""Characters."""

STAGE_TITLES = {"text": "text", "lora": "LoRAs", "unet": "steps", "vae": "decode"}

WEIGHT_TITLES = {"float8": "8 bit float weights", "int8": "8 bit weights", "nf4": "4 bit weights"}


def budget_bars(plan: MemoryPlan) -> list[str]:
    """Return the budget, and a bar for each stage's predicted peak."""
    scale = plan.budget_gb or max(plan.stages.values(), default=0.0) or 1.0
    lines = ["Budget: no limit is known" if plan.budget_gb is None else f"Budget: {plan.budget_gb:.2f} GiB"]
    for stage, peak in plan.stages.items():
        filled = min(BAR_WIDTH, round(peak / scale * BAR_WIDTH))
        held = min(filled, round((plan.context_gb + plan.resident.get(stage, 0.0)) / scale * BAR_WIDTH))
        bar = ("█" * held + "▒" * (filled - held)).ljust(BAR_WIDTH, "·")
        over = " (over the budget)" if plan.budget_gb is not None and peak > plan.budget_gb else ""
        lines.append(f"{STAGE_TITLES.get(stage, stage):<6} {bar} {peak:5.2f} GiB{over}")
    return [*lines, "█ weights and driver, ▒ activations, · free"]


def peak_line(plan: MemoryPlan, measured_gb: float = 0.0) -> str:
    """Return the predicted peak, beside the measured one (GiB; 0: none), which lacks the driver's context."""
    if not measured_gb:
        return f"Memory peak: predicted {plan.predicted_peak_gb:.2f} GiB"
    predicted = plan.predicted_peak_gb - plan.context_gb
    return f"Memory peak beside the driver: predicted {predicted:.2f} GiB, measured {measured_gb:.2f} GiB"


def describe(option: PlanOption | MemoryPlan, images: int | None = None) -> str:
    """Return a way to run a job in a few words; `images`: the number of which a forward batch is a part."""
    batch = option.batch_size
    parts = [
        option.strategy.value,
        WEIGHT_TITLES.get(option.weight_dtype),
        None if batch == (images or 1) else f"{batch}{f' of {images}' if images else ''} images at a time",
        "CFG split" if option.cfg_split else None,
        "attention sliced" if option.attention_slicing else None,
        f"VAE tiles of {option.tile_size}" if option.tile_size else None,
        "VAE in bfloat16" if option.vae_dtype == "bfloat16" else None,
    ]
    return ", ".join(part for part in parts if part)
