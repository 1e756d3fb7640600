"""Choices of LoRAs and of settings as a user asks for them.

LoRAs named outside the prompt come as a confirmed selection (JSON), a LORA_STACK, or a Python argument.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..config import (
    AUTO,
    MAX_LORA_STRENGTH,
    GenerationConstraints,
    LoRAPreferences,
    OllamaConfig,
    OnUnconfirmed,
    OperationMode,
)
from ..errors import InvalidInputError
from ..memory import MemoryRequest, Resources
from ..memory.upscaling import UpscaleCost
from ..models import Family, ModelEvidence
from ..models.lora_fit import LoRAFit
from ..parameters.parameters import IMPROVEMENTS, NO_GUIDANCE, OVERRIDES, SECOND_PASS, ModelGuidance
from ..parameters.samplers import SAMPLER_NAMES
from ..parameters.schedules import SCHEDULER_NAMES
from ..prompt import LoRATag
from ..validation import checked, plain
from .card import CHOICE, card
from .explanation import as_text, explain
from .problem_messages import ProblemMessage
from .stages import Arm, PromptRecommendations, Recommendations

DEFAULT_STRENGTH = 1.0

STALE = "selection"
"""Setting of the reason that a selection was made for something else; its value names what changed."""


@dataclass(frozen=True)
class ChoiceBasis:
    """Prompt and checkpoint that LoRAs were suggested for: the fingerprint of a confirmed selection."""

    prompt: str = ""
    checkpoint: str = ""
    """File name; empty: unknown."""
    family: str = ""
    """As the user named it; empty: left to the pack."""

    @classmethod
    def of(cls, prompt: str, model: ModelEvidence | None) -> ChoiceBasis:
        """Return the basis of a choice made now; spaces in the prompt do not count."""
        known = model or ModelEvidence()
        family = "" if known.family is Family.UNKNOWN else known.family.value
        return cls(" ".join(prompt.split()), known.name, family)

    @classmethod
    def from_text(cls, selection: str) -> ChoiceBasis | None:
        """Read the `chosen_for` of a confirmed selection; None where it has none. Raises InvalidInputError."""
        data = _selection(selection)
        given = data.get("chosen_for") if isinstance(data, Mapping) else None
        if given is None:
            return None
        if not (isinstance(given, Mapping) and all(isinstance(value, str) for value in given.values())):
            raise InvalidInputError(f"selection: chosen_for must be an object of texts, got {given!r}")
        return cls(*(" ".join(given.get(name, "").split()) for name in ("prompt", "checkpoint", "family")))

    def changed(self, now: ChoiceBasis) -> tuple[str, ...]:
        """Return the names of what is different by now; a checkpoint that is unknown is not."""
        same_file = not (self.checkpoint and now.checkpoint) or self.checkpoint == now.checkpoint
        same = {"prompt": self.prompt == now.prompt, "checkpoint": same_file, "family": self.family == now.family}
        return tuple(name for name, is_same in same.items() if not is_same)


@dataclass(frozen=True)
class LoRARequest:
    """Mode, limits and named LoRAs of a choice."""

    mode: OperationMode = OperationMode.AUTO
    selection: tuple[LoRATag, ...] | None = None
    """Confirmed LoRAs, which win over every choice; (): none; None: nothing was confirmed."""
    chosen_for: ChoiceBasis | None = None
    """Basis of the selection; None: it counts as chosen for this prompt and checkpoint."""
    on_unconfirmed: OnUnconfirmed = OnUnconfirmed.ERROR
    stack: tuple[LoRATag, ...] = ()
    preferences: LoRAPreferences = field(default_factory=LoRAPreferences)
    quality_tags: bool = True
    variations: int = 1
    """Sets of LoRAs to compare."""
    fit: LoRAFit | None = None
    """Measures LoRAs against the loaded model; None: it is not loaded, and architectures are compared."""
    judge: OllamaConfig | None = None
    """Server whose language model is asked about the first LoRAs; None: none is."""

    @classmethod
    def from_text(cls, mode: str, selection: str, on_unconfirmed: str) -> LoRARequest:
        """Read a request from a workflow's texts; `selection` as in `parse_selection`. Raises InvalidInputError."""
        for name, value, options in (("mode", mode, OperationMode), ("on_unconfirmed", on_unconfirmed, OnUnconfirmed)):
            if value not in list(options):
                raise InvalidInputError(f"{name} must be one of {', '.join(options)}, got {value!r}")
        confirmed = parse_selection(selection)
        return cls(
            OperationMode(mode),
            None if confirmed is None else tuple(confirmed),
            ChoiceBasis.from_text(selection),
            OnUnconfirmed(on_unconfirmed),
        )

    @property
    def unconfirmed(self) -> bool:
        """True while the user has yet to confirm a selection."""
        return self.mode is OperationMode.ASSISTED and self.selection is None

    @property
    def takes_always_used(self) -> bool:
        """True where the LoRAs that the user wants always belong to the choice: a confirmed one is whole."""
        return self.mode is not OperationMode.MANUAL and self.selection is None

    @property
    def was_offered(self) -> bool:
        """True where the user confirmed a selection after looking at suggestions."""
        looked = self.mode is OperationMode.ASSISTED or self.chosen_for is not None
        return self.selection is not None and looked and self.mode is not OperationMode.MANUAL

    @property
    def suggest_only(self) -> bool:
        """True where suggestions are shown and nothing is applied."""
        return self.unconfirmed and self.on_unconfirmed is OnUnconfirmed.SUGGEST_ONLY

    def arm(self, prompt: str) -> Arm:
        """Return the side of the comparison that a prompt is drawn for, always the same one."""
        share = self.preferences.unlearned_share
        if not share or self.mode is not OperationMode.AUTO or self.selection is not None:
            return Arm.NONE
        return Arm.PLAIN if _draw(prompt, "arm") < share else Arm.LEARNED

    def explores(self, prompt: str) -> bool:
        """Return True for one prompt in `explore_every`, always the same ones, in AUTO mode and without variations."""
        every = self.preferences.explore_every
        if not every or self.variations > 1 or self.mode is not OperationMode.AUTO or self.selection is not None:
            return False
        return _draw(prompt, "explore") < 1 / every


def _draw(prompt: str, purpose: str) -> float:
    """Return a number from 0 to 1 that looks random, the same for the same prompt."""
    text = f"{purpose}:{' '.join(prompt.split())}".encode("utf-8", "replace")
    return int.from_bytes(hashlib.sha256(text).digest()[:8]) / 2**64


@dataclass(frozen=True)
class SettingsRequest:
    """Inputs of a choice of settings, apart from the recommendations and the model."""

    constraints: GenerationConstraints = field(default_factory=GenerationConstraints)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Setting → value that wins over every choice; 0 and `auto`: to be chosen. See `OVERRIDES` in parameters."""
    memory: MemoryRequest = field(default_factory=MemoryRequest)
    aspect: str = AUTO
    variations: int = 1
    family: Family = Family.UNKNOWN
    """UNKNOWN: as set before, else detected."""
    resources: Resources | None = None
    guidance: ModelGuidance = NO_GUIDANCE
    """Guidance that is on the model already."""
    samplers: Collection[str] = SAMPLER_NAMES
    schedulers: Collection[str] = SCHEDULER_NAMES
    """Names that the host can run."""
    upscalers: Sequence[str] = ()
    """Files of the upscale models that the host can run."""
    upscale_cost: Callable[[str], UpscaleCost | None] = lambda name: None
    """Reads size and work of one of them."""


def settings_report(recommendations: Recommendations) -> str:
    """Return the explanation of the settings, without that of each LoRA."""
    return as_text(replace(explain(recommendations), lora_reasoning={}))


def chosen_settings(recommendations: Recommendations) -> dict[str, int | float | str]:
    """Return the settings by the names of Param Optimize's widgets."""
    chosen = recommendations.suggested_params
    return {
        "steps": chosen.num_steps,
        "cfg": chosen.guidance_scale,
        "sampler": chosen.sampler_name,
        "scheduler": chosen.scheduler,
        "width": chosen.width,
        "height": chosen.height,
    }


def applied_choice(sets: Sequence[PromptRecommendations]) -> list[Any]:
    """Return what pictures depend on in a choice, as JSON types: LoRAs, strengths, words; no reason, no confidence."""
    return [
        [
            [[lora.lora_metadata.model_id, lora.suggested_alpha, lora.alpha_clip] for lora in one.suggested_loras],
            [[lora.lora_metadata.lora_kind, lora.lora_metadata.family] for lora in one.suggested_loras],
            [one.prompt, one.negative_prompt, one.mode],
        ]
        for one in sets
    ]


def applied_settings(variants: Sequence[Recommendations]) -> list[Any]:
    """Return what pictures depend on in settings, as JSON types: no estimate, no reason."""
    names = (*(name for name in OVERRIDES if name not in (*IMPROVEMENTS, *SECOND_PASS)), "sigmas", "schedule")
    return [
        [
            [getattr(one.suggested_params, name) for name in names],
            vars(one.suggested_params.improvements),
            second and replace(second, forward_items=None, estimated_seconds=None).to_dict(),
        ]
        for one in variants
        for second in (one.suggested_params.second_pass,)
    ]


def choice_report(recommendations: PromptRecommendations, *others: PromptRecommendations) -> dict[str, list[Any]]:
    """Return a choice as lists of JSON types, as nodes and routes show it.

    `text` and `card`, of the `others` (further variations) too; `suggestions`; `nearest` (not applied; may be added to
    a `selection`); `rejected`; `chosen_for`: the prompt and the checkpoint, for a `selection` of them; `stale`: which
    of these has changed since the selection was made.
    """
    basis = ChoiceBasis.of(recommendations.prompt_analysis.prompt, recommendations.model)
    return {
        "text": [as_text(explain(each)) for each in (recommendations, *others)],
        "card": [card(each, CHOICE) for each in (recommendations, *others)],
        "suggestions": [
            {
                "lora": lora.lora_metadata.model_id.partition(":")[2],
                "name": lora.lora_name,
                "title": lora.title,
                "strength": lora.suggested_alpha,
                "strength_clip": lora.alpha_clip,
                "strength_range": lora.strength_range,
                "trigger_words": [*lora.trigger_words],
                "trigger_sets": [[*trigger.words] for trigger in lora.lora_metadata.trigger_sets],
                "confidence": round(lora.confidence_score, 3),
                "reasoning": lora.reasoning,
                "named": lora.named,
            }
            for lora in recommendations.suggested_loras
        ],
        "rejected": [
            {"name": item.lora_name, "reason": item.reason.evidence, "confidence": item.reason.weight}
            for item in recommendations.rejected
        ],
        "nearest": [
            {
                "lora": near.lora,
                "name": near.lora_name,
                "title": near.title,
                "strength": near.strength,
                "strength_clip": near.strength if near.strength_clip is None else near.strength_clip,
                "strength_range": near.strength_range,
                "trigger_words": [*near.trigger_words],
                "trigger_sets": [[*words] for words in near.trigger_sets],
                "confidence": near.confidence_score,
                "reasoning": near.reasoning,
                "reason": near.reason.evidence,
            }
            for near in recommendations.nearest
        ],
        "chosen_for": [asdict(basis)],
        "stale": [str(reason.value) for reason in recommendations.reasons if reason.setting == STALE],
    }


def parse_selection(text: str) -> list[LoRATag] | None:
    """Read the confirmed selection of a workflow: JSON, a list of names or of
    `{"lora": name, "strength": s, "strength_clip": s, "trigger_words": [word]}`; the trigger words are added as they
    are, and chosen where they are not given. Empty text: nothing was confirmed (None); `[]`: no LoRA was.
    `{"loras": that list, "chosen_for": {"prompt": …, "checkpoint": …, "family": …}}` also tells what it was chosen for.

    Raises InvalidInputError for anything else.
    """
    data = _selection(text)
    if data is None:
        return None
    return [_tag(item) for item in (data["loras"] if isinstance(data, Mapping) else data)]


def _selection(text: str) -> list[Any] | dict[str, Any] | None:
    if not text.strip():
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data.get("loras") if isinstance(data, dict) else data, list):
        raise InvalidInputError(ProblemMessage.SELECTION_NOT_JSON.format())
    return data


def named_loras(value: object) -> list[LoRATag]:
    """Read LoRAs as callers pass them: names, `{name: strength}`, or rows of a LORA_STACK, with or without strengths.

    Raises InvalidInputError.
    """
    if isinstance(value, Mapping):
        return [_tag((plain(name), strength)) for name, strength in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_tag(item) for item in value]
    raise InvalidInputError(f"loras must be a list of names or a mapping of name to strength, got {value!r}")


def _tag(item: object) -> LoRATag:
    item = plain(item)
    if isinstance(item, str):
        item = {"lora": item}
    elif isinstance(item, Sequence):
        item = dict(zip(("lora", "strength", "strength_clip"), item, strict=False))
    if not isinstance(item, Mapping) or not isinstance(item.get("lora"), str):
        raise InvalidInputError(ProblemMessage.SELECTION_WITHOUT_NAME.format(entry=repr(item)))
    strength, clip = item.get("strength", DEFAULT_STRENGTH), item.get("strength_clip")
    for value in (strength, clip):
        if value is not None:
            checked(f"{item['lora']}: strength", value, float, ge=-MAX_LORA_STRENGTH, le=MAX_LORA_STRENGTH)
    words = item.get("trigger_words")
    if words is not None and not (isinstance(words, list | tuple) and all(isinstance(word, str) for word in words)):
        raise InvalidInputError(ProblemMessage.SELECTION_WORDS.format(lora=item["lora"], words=repr(words)))
    return LoRATag(
        item["lora"],
        DEFAULT_STRENGTH if strength is None else float(strength),
        plain(clip),
        trigger_words=words if words is None else tuple(words),
    )
