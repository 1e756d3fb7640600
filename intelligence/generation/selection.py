"""LoRAs that a person named: in a confirmed selection (JSON), a LORA_STACK, or a Python argument."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..config import is_number
from ..errors import InvalidInputError, ModelNotFoundError
from ..lora import LoRARecommendation, RejectedLoRA
from ..records import Reason
from ..registry import Architecture, ModelEvidence, ModelRegistry, identify_family

DEFAULT_STRENGTH = 1.0


@dataclass(frozen=True)
class NamedLoRA:
    """A LoRA by name, with the strengths that the person gave it (None: 1.0, and the clip's like the model's)."""

    name: str
    strength: float | None = None
    strength_clip: float | None = None


def parse_selection(text: str) -> list[NamedLoRA] | None:
    """Read the confirmed selection of a workflow: JSON, a list of names or of
    `{"lora": name, "strength": s, "strength_clip": s}`. Empty text: nothing was confirmed (None); `[]`: no LoRA was.

    Raises InvalidInputError for anything else.
    """
    if not text.strip():
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, list):
        raise InvalidInputError('selection must be JSON like [{"lora": "name", "strength": 0.8}], [] or empty')
    return [_named(item) for item in data]


def named_loras(value: object) -> list[NamedLoRA]:
    """LoRAs as Python callers pass them: names, `{name: strength}`, or (name, strength[, strength_clip]) rows.

    Raises InvalidInputError.
    """
    if isinstance(value, Mapping):
        return [_named({"lora": name, "strength": strength}) for name, strength in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_named(item) for item in value]
    raise InvalidInputError(f"loras must be a list of names or a mapping of name to strength, got {value!r}")


def _named(item: object) -> NamedLoRA:
    if isinstance(item, str):
        item = {"lora": item}
    elif isinstance(item, Sequence):
        item = dict(zip(("lora", "strength", "strength_clip"), item, strict=False))
    if not isinstance(item, Mapping) or not isinstance(item.get("lora"), str):
        raise InvalidInputError(f"a selected LoRA needs a name, got {item!r}")
    strengths = [item.get("strength"), item.get("strength_clip")]
    for strength in strengths:
        if strength is not None and not is_number(strength):
            raise InvalidInputError(f"{item['lora']}: strength must be a number, got {strength!r}")
    return NamedLoRA(item["lora"], *strengths)


def resolve(
    named: Sequence[NamedLoRA], registry: ModelRegistry, model: ModelEvidence | None = None
) -> tuple[list[LoRARecommendation], list[RejectedLoRA]]:
    """Look the named LoRAs up. Those that this machine lacks, or that cannot fit the model, come back as rejected."""
    family = identify_family(model or ModelEvidence())
    chosen: list[LoRARecommendation] = []
    rejected: list[RejectedLoRA] = []
    for item in named:
        try:
            metadata = registry.get_model(item.name)
        except ModelNotFoundError as error:
            rejected.append(RejectedLoRA(item.name, Reason(item.name, str(error))))
            continue
        known = (metadata.architecture, family.architecture)
        if metadata.problem:
            rejected.append(RejectedLoRA(item.name, Reason(item.name, metadata.problem)))
        elif Architecture.UNKNOWN not in known and known[0] is not known[1]:
            why = f"made for {known[0].value}, the checkpoint is {known[1].value}"
            rejected.append(RejectedLoRA(item.name, Reason(item.name, why)))
        else:
            chosen.append(
                LoRARecommendation(
                    lora_name=metadata.name,
                    lora_metadata=metadata,
                    confidence_score=1.0,
                    suggested_alpha=DEFAULT_STRENGTH if item.strength is None else float(item.strength),
                    suggested_alpha_clip=None if item.strength_clip is None else float(item.strength_clip),
                    reasons=(Reason(metadata.name, "selected by you"),),
                )
            )
    return chosen, rejected


def with_suggestions(
    chosen: Sequence[LoRARecommendation], suggested: Sequence[LoRARecommendation]
) -> list[LoRARecommendation]:
    """The chosen LoRAs, each with the trigger words and reasons that the suggestion for the same LoRA carries."""
    known = {lora.lora_metadata.model_id: lora for lora in suggested}
    return [
        replace(
            match,
            suggested_alpha=lora.suggested_alpha,
            suggested_alpha_clip=lora.suggested_alpha_clip,
        )
        if (match := known.get(lora.lora_metadata.model_id))
        else lora
        for lora in chosen
    ]
