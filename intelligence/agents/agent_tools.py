"""Functions for programs that act for the user. Each takes and returns JSON types, and says why.

Nothing is fetched, deleted or written by them, apart from `rate` and `generate`, which are only offered where the user
has given the right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any

from ..config import (
    MAX_SEED,
    GenerationConstraints,
    LoRAPreferences,
    MemorySettings,
    PipelineConfig,
    Priority,
    data_folder,
    require,
)
from ..errors import InvalidInputError
from ..generation.choice_requests import LoRARequest, SettingsRequest, choice_report, chosen_settings
from ..generation.explanation import explain, plan_lines
from ..generation.history import recent_generations
from ..generation.image_file import picture_name
from ..generation.memory_outlook import plan_ahead
from ..generation.picture_history import picture_of, picture_record, rated_id, why_no_picture
from ..generation.planner import Planner
from ..generation.stages import Generation, GenerationExplanation, PromptRecommendations
from ..given_files import is_file
from ..learning import LearningEngine
from ..memory import MemoryManager, MemoryRequest
from ..models import Architecture, Family, ModelEvidence, ModelKind, ModelMetadata, named_family
from ..models.compatibility import architecture_fit
from ..models.header_facts import evidence_of_file
from ..parameters.parameters import MAX_SIDE, MIN_SIDE
from ..pictures.picture_files import check_destination
from ..registry import ModelRegistry
from ..validation import adapter, bounds
from ..whole_files import unused

if TYPE_CHECKING:
    from ..generation.pipeline import IntelligentGenerationPipeline

MAX_FOUND = 200
MAX_WORDS = 24
"""Trigger words and tags of a model that are told."""

JSON = dict[str, Any]


class Right(StrEnum):
    """Actions that the user may allow."""

    RATE = "rate"
    GENERATE = "generate"


class AgentTools:
    """The library, the choices and the history of the data folder, as functions.

    Args:
        rights: given by the user; none: nothing changes.
        base_model: the one that `generate` uses.
        pictures: folder that `generate` writes into; None: `pictures` in the data folder.
    """

    def __init__(
        self, rights: frozenset[Right] = frozenset(), base_model: str = "", pictures: str | Path | None = None
    ) -> None:
        needed = "a base model must be named for the right to generate"
        require(bool(base_model) or Right.GENERATE not in rights, needed)
        self.rights = rights
        self.base_model = base_model
        self.pictures = Path(pictures) if pictures else data_folder() / "pictures"
        self.learning = LearningEngine()
        self.memory = MemoryManager(data_folder() / "memory.db")
        self.planner = Planner(ModelRegistry(), self.learning, self.memory)
        self._pipeline: IntelligentGenerationPipeline | None = None
        self._sampling = Lock()

    def offered(self) -> dict[Callable[..., JSON], bool]:
        """Return the functions that may be called → True where they change nothing."""
        reading: list[Callable[..., JSON]] = [
            self.recommend_loras,
            self.recommend_settings,
            self.plan_memory,
            self.explain_picture,
            self.search_library,
            self.show_model,
            self.recent_generations,
        ]
        allowed: dict[Right, Callable[..., JSON]] = {Right.RATE: self.rate, Right.GENERATE: self.generate}
        return dict.fromkeys(reading, True) | {allowed[right]: False for right in Right if right in self.rights}

    def warm_up(self) -> None:
        """Do what is done once (indexes, the forms of records), so that no call waits for it."""
        registry = self.planner.registry
        loras, checkpoints = (registry.summaries(kind) for kind in (ModelKind.LORA, ModelKind.CHECKPOINT))
        prompt = ", ".join(["a red fox in a coat", *(lora.name for lora in loras[:3])])
        for architecture in {model.architecture for model in (*loras, *checkpoints)}:
            self._recommended(prompt, "", ModelEvidence(architecture=architecture), LoRAPreferences())
        self.recommend_settings(prompt)
        self.plan_memory()
        for lora in loras[:1]:
            self.show_model(lora.model_id)
        for form in (Generation, GenerationExplanation):
            adapter(form)

    def recommend_loras(
        self,
        prompt: str,
        negative_prompt: str = "",
        checkpoint: str = "",
        model_family: str = "",
        max_loras: Annotated[int, bounds(ge=0, le=16)] = LoRAPreferences.max_loras,
        min_confidence: Annotated[float, bounds(ge=0, le=1)] = LoRAPreferences.min_confidence,
    ) -> JSON:
        """Recommend LoRAs of the user's own library for a prompt: strengths, trigger words, reasons, and fit.

        `checkpoint` is a name that search_library finds, `model_family` a kind such as sdxl, pony or illustrious; give
        one of them, since a LoRA only fits the network it was made for. `nearest` are not applied, and may be.
        """
        preferences = LoRAPreferences(max_loras, min_confidence)
        chosen = self._recommended(prompt, negative_prompt, self._evidence(checkpoint, model_family), preferences)
        return _loras(chosen)

    def recommend_settings(
        self,
        prompt: str,
        negative_prompt: str = "",
        checkpoint: str = "",
        model_family: str = "",
        priority: Priority = Priority.BALANCED,
        max_time_seconds: Annotated[float, bounds(gt=0)] | None = None,
    ) -> JSON:
        """Recommend LoRAs and sampling settings (steps, cfg, sampler, size) for a prompt, with a reason for each.

        `priority` is SPEED, BALANCED or QUALITY. `max_time_seconds` limits the time of the run on this machine.
        """
        chosen = self._recommended(prompt, negative_prompt, self._evidence(checkpoint, model_family), LoRAPreferences())
        constraints = GenerationConstraints(max_time_seconds, priority=priority)
        whole = self.planner.parametrize(chosen, SettingsRequest(constraints))
        parameters, told = whole.suggested_params, explain(whole)
        settings = {**chosen_settings(whole), "estimated_seconds": parameters.estimated_time_seconds}
        return {**_loras(whole), "settings": settings, "reasons": told.parameter_reasoning, "summary": told.summary}

    def plan_memory(
        self,
        checkpoint: str = "",
        architecture: str = Architecture.SDXL,
        width: Annotated[int, bounds(ge=MIN_SIDE, le=MAX_SIDE)] = 1024,
        height: Annotated[int, bounds(ge=MIN_SIDE, le=MAX_SIDE)] = 1024,
        images: Annotated[int, bounds(ge=1, le=64)] = 1,
        vram_gb: Annotated[float, bounds(gt=0)] | None = None,
    ) -> JSON:
        """Tell if and how a model fits into the memory of this machine's graphics card, or of another one.

        `checkpoint` is a name that search_library finds; without it `architecture` counts, such as sdxl or flux.
        `vram_gb` asks about a card with so many GiB instead of this machine.
        """
        if checkpoint:
            architecture = self._evidence(checkpoint, "").architecture
        request = MemoryRequest(width, height, images, settings=MemorySettings())
        plan = plan_ahead(request, architecture, self.memory, self.learning, vram_gb)
        return {**plan.to_dict(), "text": "\n".join(plan_lines(plan))}

    def explain_picture(self, picture: str) -> JSON:
        """Explain how a picture was made, by its path (PNG, WebP, JPEG, JSON beside it) or its id (recent_generations).

        Pictures of this pack come with every reason; of AUTOMATIC1111, ComfyUI, Fooocus, InvokeAI and SwarmUI, prompt,
        model, LoRAs and settings are told.
        """
        if not is_file(picture):
            if no_picture := why_no_picture(picture):
                raise InvalidInputError(no_picture)
            return self._explained(self.learning.get_generation(picture).data)
        path = Path(picture)
        record = picture_record(path)
        return self._explained(record) if record else picture_of(path, None).to_dict()

    def search_library(
        self,
        text: str = "",
        kind: ModelKind = ModelKind.LORA,
        base_model: str = "",
        limit: Annotated[int, bounds(ge=1, le=MAX_FOUND)] = 20,
    ) -> JSON:
        """Search the user's own models by name, trigger word, tag or description; all of them without a text.

        `kind` is lora, checkpoint, vae or embedding. `base_model` narrows it to one, such as sdxl or pony.
        """
        found = self.planner.registry.search(text, kind=kind, base_model=base_model or None, limit=limit)
        return {"models": [_card(model) for model in found], "known": len(self.planner.registry.summaries(kind))}

    def show_model(self, name: str, checkpoint: str = "") -> JSON:
        """Show all that is known of a model of the library, and how well its pictures were rated.

        `checkpoint`: also tell if the LoRA fits this one.
        """
        model = self.planner.registry.get_model(name)
        moves = self.planner.registry.moves()
        stars = [
            picture.rating
            for picture in self.learning.rated_pictures()
            if model.model_id in {moves.get(lora, lora) for lora in picture.generation.loras}
        ]
        shown = {**_card(model), "description": model.description[:2000], "creator": model.creator}
        shown |= {"strength_range": model.strength_range, "size_bytes": model.size_bytes, "sha256": model.sha256}
        shown |= {"examples": [example.prompt for example in model.example_prompts[:3]], "stars": stars}
        if checkpoint:
            shown["fit"] = _fit(model, self._evidence(checkpoint, "").architecture)
        return shown

    def recent_generations(self, limit: Annotated[int, bounds(ge=1, le=MAX_FOUND)] = 20) -> JSON:
        """List the pictures that were made here, newest first, with their ids and stars."""
        return {"generations": [each.to_dict() for each in recent_generations(self.learning, limit)]}

    def rate(self, picture: str, rating: Annotated[int, bounds(ge=1, le=5)], comments: str = "") -> JSON:
        """Rate a picture with 1 to 5 stars, as the user said: a path, or an id that recent_generations gives.

        Later recommendations heed it. A later rating corrects an earlier one.
        """
        stored = self.learning.record_feedback(rated_id(picture, self.learning), rating, comments)
        return stored.to_dict()

    def generate(
        self,
        prompt: str,
        negative_prompt: str = "",
        seed: Annotated[int, bounds(ge=0, le=MAX_SEED)] | None = None,
        name: str = "",
    ) -> JSON:
        """Make one picture with the recommended LoRAs and settings, and save it. Takes seconds to minutes.

        `name` is a file name that ends in .png, .webp or .jpg; without it the seed names the file.
        """
        name = name or "%seed%.png"
        bare = Path(name).name == name and not set(name) & set("/\\:")
        require(bare, f"name must be a file name without a folder, got {name!r}")
        check_destination(self.pictures / name)
        with self._sampling:
            result = self._own_pipeline().generate(prompt, negative_prompt, seed)
            filled = picture_name(name, result.generation, result.index, result.image.size)
            saved = result.write(unused(self.pictures / filled))
        summary = str(result.explanation)
        return {"id": result.id, "path": str(saved.path), "seed": result.metadata.seed, "summary": summary}

    def _own_pipeline(self) -> IntelligentGenerationPipeline:
        if self._pipeline is None:
            from ..generation.pipeline import IntelligentGenerationPipeline
            from ..generation.standalone import quiet_process

            with quiet_process():
                self._pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model=self.base_model))
        return self._pipeline

    def _recommended(
        self, prompt: str, negative_prompt: str, evidence: ModelEvidence, preferences: LoRAPreferences
    ) -> PromptRecommendations:
        analysis = self.planner.analyze(prompt, negative_prompt)
        return self.planner.recommend(analysis, evidence, LoRARequest(preferences=preferences))

    def _evidence(self, checkpoint: str, model_family: str) -> ModelEvidence:
        family, evidence = named_family(model_family), ModelEvidence()
        if checkpoint:
            model = self.planner.registry.get_model(checkpoint)
            require(model.kind is ModelKind.CHECKPOINT, f"{checkpoint} is a {model.kind.value}, not a checkpoint")
            evidence = replace(evidence_of_file(Path(model.local_path)), base_model=model.base_model)
        return replace(evidence, family=family) if model_family else evidence

    def _explained(self, data: JSON) -> JSON:
        generation = Generation.from_dict(data)
        prompts = generation.plan.recommendations
        return {
            **explain(generation).to_dict(),
            "id": generation.id,
            "image_ids": list(generation.image_ids),
            "prompt": prompts.prompt,
            "negative_prompt": prompts.negative_prompt,
            "seeds": list(generation.seeds),
            "settings": chosen_settings(prompts),
            "loras": [{"name": lora.lora_name, "strength": lora.suggested_alpha} for lora in generation.plan.loras],
        }


def _loras(chosen: PromptRecommendations) -> JSON:
    """Return the choice, each LoRA with whether it fits the model, as far as that is known."""
    report = choice_report(chosen)
    family = chosen.family
    base = family.architecture if family else Architecture.UNKNOWN
    fits = {lora.lora_name: _fit(lora.lora_metadata, base) for lora in chosen.suggested_loras}
    return {
        "loras": [{**lora, "fit": fits[lora["name"]]} for lora in report["suggestions"]],
        "nearest": report["nearest"],
        "rejected": report["rejected"],
        "prompt": chosen.prompt,
        "negative_prompt": chosen.negative_prompt,
        "model_family": family.family.value if family else Family.UNKNOWN.value,
        "notes": [reason.evidence for reason in chosen.reasons],
    }


def _fit(model: ModelMetadata, base: Architecture) -> str:
    """Return `yes`, `no` or `unknown`."""
    return architecture_fit(model.architecture, base).name.lower()


def _card(model: ModelMetadata) -> JSON:
    words = [word for trigger in model.trigger_sets for word in trigger.words]
    return {
        "id": model.model_id,
        "name": model.name,
        "title": model.title or model.name,
        "architecture": model.architecture.value,
        "family": model.family.value,
        "kind": model.lora_kind.value if model.kind is ModelKind.LORA else model.kind.value,
        "trigger_words": words[:MAX_WORDS],
        "tags": list(model.tags)[:MAX_WORDS],
        "strength": model.strength,
        "favourite": model.favourite,
        "excluded": model.excluded,
    }
