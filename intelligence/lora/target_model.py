"""The model that LoRAs are chosen for, and the LoRAs that it rules out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..config import EMBEDDED_MODEL
from ..errors import InvalidInputError
from ..models import Architecture, Family, FamilyFinding, LoRAKind, ModelEvidence, identify_family
from ..models.compatibility import Fit, architecture_fit, have_same_modules
from ..models.evidence import AppliedLoRA
from ..models.kinds import ARCHITECTURE_TITLES
from ..models.lora_fit import FitShare, LoRAFit
from ..records import Reason, Source
from .lora_messages import LoRAMessage
from .search.documents import Listed


@dataclass(frozen=True)
class TargetModel:
    """A base model, and how LoRAs are measured against it where it is loaded."""

    finding: FamilyFinding
    fit: LoRAFit | None = None
    """None: the model is not loaded, and architectures are compared."""
    applied: Mapping[str, AppliedLoRA] = field(default_factory=dict)
    """Id → LoRA that is on the model already."""

    @property
    def architecture(self) -> Architecture:
        return self.finding.architecture

    @property
    def family(self) -> Family:
        return self.finding.family

    @property
    def mark(self) -> tuple[str, ...]:
        """Equal for models that rule out the same LoRAs."""
        return (self.architecture, self.fit.mark if self.fit else "", *sorted(self.applied))

    def measure(self, model: Listed) -> FitShare | None:
        """Return the share of a LoRA that is loaded here; None where that cannot be measured."""
        return self.fit(model) if self.fit and model.local_path and model.problem is None else None


def find_base(base_model: str | ModelEvidence | None, fit: LoRAFit | None = None) -> TargetModel:
    """Return what is known of a base model by its name, or by what the host knows. Raises InvalidInputError."""
    if isinstance(base_model, ModelEvidence):
        applied = {lora.model_id: lora for lora in base_model.applied if lora.model_id}
        return TargetModel(identify_family(base_model), fit, applied)
    if base_model is not None and not isinstance(base_model, str):
        raise InvalidInputError(f"base_model must be a name, a ModelEvidence or None, got {type(base_model).__name__}")
    architecture = Architecture.DEMO if base_model == EMBEDDED_MODEL else Architecture.UNKNOWN
    return TargetModel(identify_family(ModelEvidence(name=base_model or "", architecture=architecture)), fit)


def incompatibility(model: Listed, base: TargetModel) -> Reason | None:
    """Return why this LoRA is never applied to this base model by itself, or None."""
    if (reason := load_problem(model, base)) is not None:
        return reason
    if model.excluded:
        return Reason.of("lora", Source.USER, LoRAMessage.EXCLUDED)
    if model.lora_kind is LoRAKind.SPEED:
        return Reason.of("lora", Source.LORA, LoRAMessage.SPEED_LORA)
    share = base.measure(model)
    return None if share is None else _misfit(model, base, share)


def load_problem(model: Listed, base: TargetModel) -> Reason | None:
    """Return why this LoRA cannot be applied to this base model even when the prompt names it, or None."""
    if model.problem is not None:
        return Reason.of("lora", Source.LORA, LoRAMessage.BROKEN_FILE, problem=model.problem)
    if not model.local_path:
        return Reason.of("lora", Source.LORA, LoRAMessage.NOT_ON_MACHINE)
    if (applied := base.applied.get(model.model_id)) is not None:
        return Reason.of("lora", Source.MODEL, LoRAMessage.ON_MODEL_ALREADY, strength=applied.strength)
    share = base.measure(model)
    if share is None:
        return _other_architecture(model, base)
    return _useless(model, base, share) if share.does_nothing else None


def fit_reasons(model: Listed, base: TargetModel) -> tuple[Reason, ...]:
    """Say how much of an applied LoRA is loaded here, and if it was made for another network; empty: not measured."""
    share = base.measure(model)
    if share is None:
        return ()
    message = LoRAMessage.LOADS_ALL if share.loaded == share.total else LoRAMessage.LOADS_PART
    weight = round(share.loaded / share.total, 3)
    loads = Reason.of("base model", Source.MODEL, message, weight=weight, loaded=share.loaded, total=share.total)
    other = _other_architecture(model, base)
    return (loads, replace(other, setting="base model")) if other else (loads,)


def unknown_warning(model: Listed, base: TargetModel) -> Reason | None:
    """Return the warning that one of the two is unknown and the model is not there to measure the LoRA, or None."""
    if architecture_fit(model.architecture, base.architecture) is not Fit.UNKNOWN or base.measure(model) is not None:
        return None
    if architecture_fit(base.architecture, base.architecture) is Fit.UNKNOWN:
        return Reason.of("base model", Source.MODEL, LoRAMessage.UNKNOWN_CHECKPOINT, weight=0.5)
    return Reason.of("base model", Source.LORA, LoRAMessage.UNKNOWN_LORA, weight=0.5)


def left_out(count: int, share: FitShare | None) -> Reason | None:
    """Say what the host's loader left out of a LoRA that was measured before; None where it loaded all it could.

    `count`: number of weights that it patched, among them those of another shape, which it finds out later.
    """
    if not count:
        return Reason.of("lora", Source.MODEL, LoRAMessage.NOT_LOADED)
    if share is None or count >= share.named:
        return None
    return Reason.of("base model", Source.MODEL, LoRAMessage.LEFT_OUT, loaded=count, total=share.named)


def _misfit(model: Listed, base: TargetModel, share: FitShare) -> Reason | None:
    """Return why a LoRA of which something is loaded here was not made for this model, or None.

    What is loaded decides. Only where two networks have the same modules, or a part is left behind, does it count that
    the LoRA was made for another network.
    """
    if not share.fits:
        return Reason.of("lora", Source.MODEL, LoRAMessage.LOADS_TOO_LITTLE, loaded=share.loaded, total=share.total)
    if share.full and not have_same_modules(model.architecture, base.architecture):
        return None
    return _other_architecture(model, base)


def _useless(model: Listed, base: TargetModel, share: FitShare) -> Reason:
    if architecture_fit(model.architecture, base.architecture) is not Fit.NO:
        return Reason.of("lora", Source.MODEL, LoRAMessage.LOADS_NOTHING, total=share.total)
    names = _titles(model, base)
    return Reason.of("lora", Source.MODEL, LoRAMessage.MADE_FOR_OTHER, total=share.total, **names)


def _other_architecture(model: Listed, base: TargetModel) -> Reason | None:
    if architecture_fit(model.architecture, base.architecture) is not Fit.NO:
        return None
    return Reason.of("lora", Source.MODEL, LoRAMessage.OTHER_ARCHITECTURE, **_titles(model, base))


def _titles(model: Listed, base: TargetModel) -> dict[str, Any]:
    return {"architecture": ARCHITECTURE_TITLES[model.architecture], "base": ARCHITECTURE_TITLES[base.architecture]}
