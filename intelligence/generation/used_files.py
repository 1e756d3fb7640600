"""The files that a picture is made with, and their hashes: of the base model and the LoRAs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ..errors import StorageError
from ..learning import LearningEngine
from ..models import ModelEvidence, ModelKind, ModelMetadata
from ..registry import ModelRegistry
from .run import identity
from .stages import Generation, GenerationPlan, OtherLoRA

LONGEST_WAIT = 10.0
"""Seconds that saving waits for a hash."""


class FoundFiles(NamedTuple):
    """Files of a run that its plan does not name, without this machine's paths."""

    base_model: ModelMetadata | None = None
    other_loras: tuple[OtherLoRA, ...] = ()


@dataclass(frozen=True)
class UsedFiles:
    """Hashes the files of runs while they sample, and tells them to the generations."""

    registry: ModelRegistry
    learning: LearningEngine

    def start(self, plan: GenerationPlan) -> FoundFiles:
        """Begin to hash what the plan uses and nobody has hashed yet; return what it does not name. Returns at once."""
        base_model, others = None, []
        with suppress(StorageError):
            base_model = base_model_file(plan.recommendations.model, self.registry)
            others = _other_loras(plan, self.registry)
        models = [lora.lora_metadata for lora in plan.loras] + [other.file for other in others]
        models += [base_model] if base_model else []
        waiting = {model.model_id: model.local_path for model in models if model.local_path and not _hash_of(model)}
        self.registry.file_hashes.start(waiting)
        return FoundFiles(
            base_model and identity(base_model), tuple(replace(other, file=identity(other.file)) for other in others)
        )

    def told(self, generation: Generation, found: FoundFiles | None = None) -> Generation:
        """Return the generation with the files that were found and the hashes that are known now, and store it so."""
        if found:
            generation = replace(generation, base_model=found.base_model, other_loras=found.other_loras)
        recommendations = generation.plan.recommendations
        loras = [replace(lora, lora_metadata=self._hashed(lora.lora_metadata)) for lora in generation.plan.loras]
        told = replace(
            generation,
            plan=replace(generation.plan, recommendations=replace(recommendations, suggested_loras=loras)),
            base_model=self._hashed(generation.base_model) if generation.base_model else None,
            other_loras=tuple(replace(other, file=self._hashed(other.file)) for other in generation.other_loras),
        )
        if found or told != generation:
            with suppress(StorageError):  # the run has noted that it could not be stored
                self.learning.complete_generation(told.id, told.to_dict())
        return told

    def waited(self, generation: Generation) -> Generation:
        """Return the generation with all hashes, or after `LONGEST_WAIT` with those that are known."""
        self.registry.file_hashes.wait(_unhashed(generation), LONGEST_WAIT)
        return self.told(generation)

    def afterwards(self, generation: Generation, call: Callable[[Generation], object]) -> None:
        """Call with the completed generation, once hashes that it lacks are known."""

        def complete() -> None:
            if (told := self.told(generation)) != generation:
                call(told)

        if missing := _unhashed(generation):
            self.registry.file_hashes.then(missing, complete)

    def _hashed(self, model: ModelMetadata) -> ModelMetadata:
        if _hash_of(model) or (found := self.registry.file_hashes.known(model.model_id)) is None:
            return model
        return replace(model, sha256=found.sha256, autov2=found.sha256[:10], autov3=found.autov3 or None)


def _unhashed(generation: Generation) -> list[str]:
    models = [lora.lora_metadata for lora in generation.plan.loras]
    models += [other.file for other in generation.other_loras]
    models += [generation.base_model] if generation.base_model else []
    return [model.model_id for model in models if not _hash_of(model)]


def _hash_of(model: ModelMetadata) -> str | None:
    return model.sha256 or (model.autov2 if model.kind is ModelKind.CHECKPOINT else model.autov3 or model.autov2)


def _other_loras(plan: GenerationPlan, registry: ModelRegistry) -> list[OtherLoRA]:
    """Return the LoRAs that were on the model before, as far as the library knows them."""
    model = plan.recommendations.model
    own = {lora.lora_metadata.model_id for lora in plan.loras}
    others = [lora for lora in (model.applied if model else ()) if lora.model_id and lora.model_id not in own]
    known = {summary.model_id for summary in registry.summaries(ModelKind.LORA)} if others else set()
    return [OtherLoRA(registry.get_model(lora.model_id), lora.strength) for lora in others if lora.model_id in known]


def base_model_file(evidence: ModelEvidence | None, registry: ModelRegistry) -> ModelMetadata | None:
    """Return the record of the file of a loaded model, found by its path, or by its name where there is no path."""
    if evidence is None or not (evidence.path or evidence.name):
        return None
    name = Path(evidence.path or evidence.name).name
    for known in registry.summaries(ModelKind.CHECKPOINT):
        file = Path(known.local_path)
        if (file == Path(evidence.path)) if evidence.path else (file.name == name):
            return registry.get_model(known.model_id)
    if evidence.path and Path(evidence.path).is_file():
        return ModelMetadata(
            f"checkpoint:{name}", Path(name).stem, kind=ModelKind.CHECKPOINT, local_path=str(evidence.path)
        )
    return None
