"""Request for sampling settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from ..config import AUTO, GenerationConstraints
from ..errors import InvalidInputError
from ..memory import MemoryRequest, Resources
from ..models import ModelEvidence, ModelMetadata
from ..prompt import PromptAnalysis
from .parameters import Improvements

ALIASES = {"steps": "num_steps", "cfg": "guidance_scale", "cfg_scale": "guidance_scale", "sampler": "sampler_name"}

IMPROVEMENTS = tuple(each.name for each in fields(Improvements))

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


class LoRALike(Protocol):
    """A chosen LoRA, as far as the settings depend on it."""

    lora_metadata: ModelMetadata


@dataclass(frozen=True)
class ParameterRequest:
    """Prompt, model and machine, and what the user set."""

    analysis: PromptAnalysis
    constraints: GenerationConstraints = field(default_factory=GenerationConstraints)
    model: ModelEvidence | None = None
    """Evidence of the base model from the host; None: unknown."""
    loras: Sequence[LoRALike] = ()
    """The chosen LoRAs; a few-step LoRA among them decides steps, cfg and sampler."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Settings that win over every choice: those of `OVERRIDES`, or their `ALIASES`."""
    aspect: str = AUTO
    """See `choose_size`."""
    resources: Resources | None = None
    """The machine; None: detected."""
    memory: MemoryRequest = field(default_factory=MemoryRequest)
    """Images, model and host of the memory plan that the settings must fit; the settings fill in its size, guidance and
    steps. The predicted time is for all of its images."""
    manual: bool = False
    """Nothing is chosen: what `overrides` lack is a plain default."""

    @property
    def images(self) -> int:
        """Images to make in one run."""
        return self.memory.images


def canonical(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return `overrides` under their full names (`steps` → `num_steps` …).

    Raises InvalidInputError for a name that is no setting, or that is given twice.
    """
    given: dict[str, Any] = {}
    for name, value in overrides.items():
        full = ALIASES.get(name, name)
        if full not in OVERRIDES:
            known = ", ".join((*OVERRIDES, *ALIASES))
            raise InvalidInputError(f"{name!r} is no setting that can be passed; known: {known}")
        if full in given:
            raise InvalidInputError(f"{full} is given twice")
        given[full] = value
    return given
