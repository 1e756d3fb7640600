"""How strongly a LoRA is applied, and what that rests on."""

from __future__ import annotations

from statistics import median

from ..records import Reason
from ..registry import LoRAKind, ModelMetadata

DEFAULT_STRENGTH = {
    LoRAKind.STYLE: 0.8,
    LoRAKind.CHARACTER: 0.9,
    LoRAKind.CONCEPT: 0.8,
    LoRAKind.EFFECT: 0.7,
    LoRAKind.SPEED: 1.0,
    LoRAKind.UNKNOWN: 0.8,
}
"""Where nothing is known of the LoRA itself."""
MAX_CHOSEN_STRENGTH = 2.0
"""Bound of a strength that is chosen (not named by the user), either sign."""
STACK_SHARE = 0.15
"""Each further LoRA lowers all chosen ones: n of them get 1 / (1 + 0.15 (n − 1)) of their strength."""
MAX_TOTAL_STRENGTH = 2.4
"""Bound of the summed strengths of all LoRAs; what is chosen gives way to what the user named."""


def single_strength(model: ModelMetadata) -> tuple[float, tuple[float, float] | None, Reason]:
    """The strength of a LoRA applied alone, its useful range (None: not known), and why.

    In this order: what its author recommends, the middle of the recommended range, the median of what example prompts
    use, the default of its kind.
    """
    used = [e.weight for e in model.example_prompts if e.weight is not None and abs(e.weight) <= MAX_CHOSEN_STRENGTH]
    limits = model.strength_range
    if limits is not None:
        limits = (_bounded(min(limits)), _bounded(max(limits)))
    elif len(used) >= 3:
        limits = (min(used), max(used))
    if model.strength is not None:
        value, evidence = model.strength, f"strength {model.strength:g}, recommended for this LoRA"
    elif model.strength_range is not None and limits is not None:
        value = (limits[0] + limits[1]) / 2
        evidence = f"strength {value:g}, the middle of its recommended range, {limits[0]:g} to {limits[1]:g}"
    elif used:
        value = median(used)
        evidence = f"strength {value:g}, the median of {len(used)} example prompt{'s' * (len(used) != 1)}"
    else:
        value = DEFAULT_STRENGTH[model.lora_kind]
        kind = "LoRAs of unknown kind" if model.lora_kind is LoRAKind.UNKNOWN else f"{model.lora_kind} LoRAs"
        evidence = f"strength {value:g}, usual for {kind}"
    value = round(_bounded(value), 3)
    return value, limits, Reason("strength", evidence)


def stacked(strengths: list[float], named: list[float]) -> tuple[list[float], Reason | None]:
    """Chosen `strengths` lowered for being applied together with each other and with the `named` ones, and why."""
    together = len(strengths) + len(named)
    if not strengths or together < 2:
        return strengths, None
    share = 1 / (1 + STACK_SHARE * (together - 1))
    total = sum(map(abs, strengths))
    room = max(0.0, MAX_TOTAL_STRENGTH - sum(map(abs, named)))
    if total * share > room:
        share = room / total
    lowered = [round(strength * share, 3) for strength in strengths]
    return lowered, Reason(
        "strength", f"strength lowered to {share:.0%}: {together} LoRAs share the picture", round(1 - share, 3)
    )


def _bounded(value: float) -> float:
    return max(-MAX_CHOSEN_STRENGTH, min(MAX_CHOSEN_STRENGTH, value))
