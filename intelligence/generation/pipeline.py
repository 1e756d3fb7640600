"""`IntelligentGenerationPipeline`: a prompt becomes a chosen, planned, sampled, explained and rated image."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config import (
    AUTO,
    EMBEDDED_MODEL,
    BatchConfig,
    OperationMode,
    PipelineConfig,
    VariationStrategy,
    data_folder,
    require,
)
from ..errors import ConfirmationRequiredError, InvalidInputError
from ..learning import Feedback, LearningEngine
from ..learning.observations import Evidence
from ..lora import LoRARecommendation
from ..lora.recommendation import offered_loras
from ..memory import MemoryManager, MemoryRequest
from ..models import ModelEvidence, ModelKind, named_family
from ..parameters.baseline import as_edited
from ..parameters.samplers import check_names
from ..records import Reason, Source
from ..registry import ModelRegistry
from ..validation import checked, did_you_mean
from .choice_requests import LoRARequest, SettingsRequest, named_loras
from .diffusers_host import DiffusersHost
from .embedded import ensure_embedded
from .execution.job_records import ONCE, Executor, Job, RunProgress
from .execution.job_run import JobRun
from .execution.local_executor import LocalExecutor
from .execution.planned_run import PlannedRun
from .explanation import explain
from .generation_messages import GenerationMessage
from .generation_result import GenerationResult, results_of
from .history import GenerationSummary, generations_to_rate
from .noticing import note_act
from .picture_history import rated_id
from .planner import Planner, lora_variants, parameter_variants
from .run import Host, OnStep, run_plan, seeds_from
from .run_timer import all_items
from .scouting import MAX_SEEDS, Scouting
from .stages import GenerationPlan, Recommendations


@dataclass(frozen=True)
class BatchProgress:
    images_done: int
    images_total: int
    steps_done: int
    steps_total: int
    """Of the forward batches that are being sampled now."""


class IntelligentGenerationPipeline:
    """Chooses, plans and samples images for prompts, on diffusers.

    Args:
        config: base model, mode and limits; by default SDXL base, AUTO, no limits.
        model_registry: LoRAs to choose from, filled by `ModelRegistry.scan`. None: those registered in the data folder
            (for the `embedded` base model: the four LoRAs that come with it).
    """

    def __init__(self, config: PipelineConfig | None = None, model_registry: ModelRegistry | None = None) -> None:
        self.config = config or PipelineConfig()
        self._check_config(self.config.base_model)
        self.registry = model_registry or self._own_registry()
        self._of_demo = model_registry is None and self.config.base_model == EMBEDDED_MODEL
        self.learning = LearningEngine()
        self.memory_manager = MemoryManager(data_folder() / "memory.db")
        self.planner = Planner(self.registry, self.learning, self.memory_manager)
        self.host = DiffusersHost(self.config.base_model, allow_downloads=self.config.allow_downloads)

    def __setattr__(self, name: str, value: Any) -> None:
        known = ("config", "registry", "learning", "memory_manager", "planner", "host", "_of_demo")
        if name not in known:
            raise AttributeError(f"a pipeline has no attribute {name!r}{did_you_mean(name, known[:-1])}")
        if name == "config":
            require(isinstance(value, PipelineConfig), f"config must be a PipelineConfig, got {value!r}")
        super().__setattr__(name, value)

    def generate(
        self, prompt: str, negative_prompt: str = "", seed: int | None = None, **overrides: Any
    ) -> GenerationResult:
        """Make one image.

        Args:
            seed: 0 … 2**64 − 1; None: random.
            overrides: settings that win over every choice: `num_steps`, `guidance_scale`, `width`, `height`,
                `sampler_name`, `scheduler`, `clip_skip`; `aspect` (`auto`, `16:9`, `portrait` …); `loras` (names, or
                name → strength) to apply these instead of choosing; `second_pass` (`auto`, `on`, `off`): see
                `SecondPassUse`; `on_step`, called with (steps done, steps in all).

        Raises:
            ConfirmationRequiredError: the mode is ASSISTED, which generates from confirmed recommendations only.
            InvalidInputError, ModelNotFoundError, UnsupportedModelError, StorageError: each says what to do.
        """
        self._require_confirmation("generate_from_recommendations(prompt, recommendations)")
        seeds = seeds_from(seed, 1)
        on_step = overrides.pop("on_step", None)
        recommendations = self._recommend(prompt, negative_prompt, overrides)
        return self._run(self._planned(recommendations), seeds, on_step)[0]

    def analyze_and_recommend(self, prompt: str) -> Recommendations:
        """Choose LoRAs and settings for a prompt without generating. Every part of the answer may be edited."""
        recommendations = self._recommend(prompt, "", {}, measured=False)
        offered = offered_loras(recommendations.suggested_loras, recommendations.nearest)
        return replace(recommendations, explanation=explain(recommendations), offered=offered)

    def generate_from_recommendations(
        self, prompt: str, recommendations: Recommendations, negative_prompt: str = "", seed: int | None = None
    ) -> GenerationResult:
        """Make one image from recommendations as they are, edits included.

        `prompt` may differ from the one that was analysed: it is encoded with the trigger words of the recommended
        LoRAs. Recommendations from a saved image's JSON work too, where this machine has the LoRAs.
        Raises like `generate`.
        """
        seeds = seeds_from(seed, 1)
        return self._run(self._planned(self._confirmed(prompt, negative_prompt, recommendations)), seeds)[0]

    def scout(
        self,
        prompt: str,
        negative_prompt: str = "",
        seed: int | None = None,
        *,
        count: int = 4,
        recommendations: Recommendations | None = None,
        **overrides: Any,
    ) -> Scouting:
        """Try `count` seeds, counting up from `seed`, for a quarter of the steps, to preview each.

        `generate_from_scouting` then finishes one of them: nothing is computed twice for it, and its image equals that
        of a whole run with its seed, bit for bit.

        Args:
            seed: 0 … 2**64 − 1; None: random.
            count: 1 … 64.
            recommendations: settings and LoRAs to use, edits included; None: they are chosen.
            overrides: as for `generate`; beside `recommendations` only `on_step`.

        Raises like `generate`.
        """
        checked("count", count, int, ge=1, le=MAX_SEEDS)
        seeds = seeds_from(seed, count)
        on_step = overrides.pop("on_step", None)
        if recommendations is None:
            self._require_confirmation("scout(prompt, recommendations=recommendations)")
            recommendations = self._recommend(prompt, negative_prompt, overrides)
        else:
            given = ", ".join(overrides)
            require(not given, f"{given}: edit the recommendations instead, they are used as they are")
            recommendations = self._confirmed(prompt, negative_prompt, recommendations)
        return self.host.scout(self._planned(recommendations), seeds, on_step)

    def generate_from_scouting(self, scouting: Scouting, pick: int, on_step: OnStep | None = None) -> GenerationResult:
        """Finish the image of `scouting.seeds[pick]` from where `scout` stopped.

        Raises InvalidInputError where there is no such seed, or where its settings or a LoRA's file were changed since;
        otherwise like `generate`.
        """
        host = self.host.resume(scouting, pick)
        result = self._run(scouting.plan, [scouting.seeds[pick]], on_step, host)[0]
        note_act(self.learning, result.id, Evidence.SCOUTED, pick, len(scouting.seeds))
        return result

    def generate_batch(
        self,
        prompt: str,
        batch_config: BatchConfig,
        negative_prompt: str = "",
        on_progress: Callable[[BatchProgress], None] | None = None,
        executor: Executor | None = None,
        **overrides: Any,
    ) -> list[GenerationResult]:
        """Make several images of one prompt that differ as `batch_config` says.

        `executor`: where they are made, such as `RayExecutor`; None: here, one run after another. `overrides`: settings
        as for `generate`, which no variation changes.

        SEED_VARIATION: the same settings, another seed each (`parallel_generation`: in one forward batch where memory
        allows). PARAM_VARIATION and LORA_VARIATION: one seed, neighbouring settings or other LoRAs; once all variants
        are used up they begin again with the next seed. Raises like `generate`.
        """
        runs, request = self.variations(prompt, batch_config, negative_prompt, one_by_one=bool(executor), **overrides)
        results: list[GenerationResult] = []

        def report(steps_done: int, steps_total: int) -> None:
            if on_progress:
                on_progress(BatchProgress(len(results), batch_config.num_images, steps_done, steps_total))

        def told(state: RunProgress) -> None:
            done, total = map(sum, zip(*(worker.step for worker in state.workers), strict=True))
            if total:
                report(done, total)

        run_id = str(uuid.uuid4())
        jobs = [
            Job(variant, tuple(seeds), f"{run_id}-{number}", self.config, number)
            for number, (variant, seeds) in enumerate(runs)
        ]
        planned = PlannedRun(lambda _: (self.planner, request))
        with JobRun(executor or LocalExecutor(lambda _: self.host), planned.fit, ONCE, told) as run:
            run.submit(jobs)
            for outcome in run.results(in_order=True):
                results.extend(planned.results(outcome, run_id))
                report(0, 0)
        return results

    def variations(
        self,
        prompt: str,
        batch_config: BatchConfig,
        negative_prompt: str = "",
        *,
        one_by_one: bool = False,
        **overrides: Any,
    ) -> tuple[list[tuple[Recommendations, list[int]]], MemoryRequest]:
        """Return the runs of a batch, as (choice, seeds), and the request for the memory plan of each.

        `one_by_one`: images that differ by the seed are runs of their own too, unless they shall share forward batches.
        Raises like `generate`.
        """
        self._require_confirmation("generate_from_recommendations, or use AUTO mode for batches")
        count, strategy = batch_config.num_images, batch_config.variation_strategy
        seeds = seeds_from(batch_config.base_seed, count)
        only_seeds, parallel = strategy is VariationStrategy.SEED_VARIATION, batch_config.parallel_generation
        apart = not only_seeds or (one_by_one and not parallel)
        request = self.memory_request(1 if apart else count, parallel)
        recommendations = self._recommend(prompt, negative_prompt, overrides, request)
        if not apart:
            return [(recommendations, seeds)], request
        variants = [recommendations] if only_seeds else self._variants(strategy, recommendations, count)
        return [(variants[i % len(variants)], [seeds[i // len(variants)]]) for i in range(count)], request

    def provide_feedback(self, generation_id: str | Path, rating: int, comments: str = "") -> Feedback:
        """Rate an image with 1 to 5 stars; the next recommendations take it into account.

        `generation_id`: a `GenerationResult.id`, the id of a generation or of a ComfyUI prompt, or a picture that the
        pack saved, here or elsewhere. A later rating corrects an earlier one.

        Raises InvalidInputError (another rating), UnknownGenerationError, StorageError.
        """
        return self.learning.record_feedback(rated_id(generation_id, self.learning), rating, comments)

    def remove_feedback(self, generation_id: str | Path) -> bool:
        """Take a rating back, named as in `provide_feedback`. Returns whether there was one.

        Raises UnknownGenerationError, StorageError.
        """
        return self.learning.remove_feedback(rated_id(generation_id, self.learning))

    def pictures_to_rate(self, count: int = 8) -> list[GenerationSummary]:
        """Return the unrated generations whose stars would tell the most, for a start; see `generations_to_rate`.

        Where there are too few, `generate_batch` with LORA_VARIATION makes pictures of one prompt that differ.
        """
        return generations_to_rate(self.learning, count)

    def pick(self, generation_id: str | Path) -> bool:
        """Say that of a batch this picture is the best, named as in `provide_feedback`; the last word counts.

        Weaker than stars; images that differ by nothing but the seed tell nothing. Returns False where no other was
        made with it, or acts beside stars are switched off.

        Raises UnknownGenerationError, StorageError.
        """
        return self.learning.signals.note(rated_id(generation_id, self.learning), Evidence.PICKED)

    def _check_config(self, base_model: str) -> None:
        """Refuse what was assigned since the pipeline was made, and cannot be used."""
        config = self.config
        named_family(config.model_family)
        needed = "judge_loras asks the language model of ollama_config: set that too"
        require(not config.judge_loras or config.ollama_config is not None, needed)
        other = f"base_model is {config.base_model!r} now, and this pipeline was made for {base_model!r}: make another"
        require(config.base_model == base_model, other)

    def _require_confirmation(self, then: str) -> None:
        if self.config.mode is OperationMode.ASSISTED:
            raise ConfirmationRequiredError(
                "ASSISTED mode generates nothing without your confirmation: call analyze_and_recommend(prompt), "
                f"edit what it returns, then {then}"
            )

    def _variants(
        self, strategy: VariationStrategy, recommendations: Recommendations, count: int
    ) -> list[Recommendations]:
        if strategy is VariationStrategy.PARAM_VARIATION:
            return parameter_variants(self.planner, recommendations, count)
        tags, fit = self.config.quality_tags, self.host.lora_fit()
        return lora_variants(self.planner, recommendations, count, quality_tags=tags, fit=fit)

    def _own_registry(self) -> ModelRegistry:
        if self.config.base_model != EMBEDDED_MODEL:
            return ModelRegistry()
        embedded = ensure_embedded()
        registry = ModelRegistry(embedded.folder.parent / "registry.db")
        registry.scan({ModelKind.LORA: [embedded.lora_folder]})
        return registry

    def _evidence(self) -> ModelEvidence:
        return replace(self.host.evidence(), family=named_family(self.config.model_family))

    def memory_request(self, images: int = 1, parallel: bool = False) -> MemoryRequest:
        """Return the request for the memory plan of a run, `parallel`: in one forward batch where it fits."""
        return MemoryRequest(
            images=images,
            max_batch=images if parallel else 1,
            settings=self.config.memory_settings,
            weights_gb=self.host.weights_gb(),
            configs=self.host.configs() or {},
        )

    def _recommend(
        self,
        prompt: str,
        negative_prompt: str,
        overrides: dict[str, Any],
        request: MemoryRequest | None = None,
        *,
        measured: bool = True,
    ) -> Recommendations:
        """`measured`: whether LoRAs are measured against the model, for which diffusers is imported."""
        config = self.config
        self._check_config(self.host.base_model)
        self.host.allow_downloads = config.allow_downloads
        loras, aspect = overrides.pop("loras", None), overrides.pop("aspect", AUTO)
        analysis = self.planner.analyze(prompt, negative_prompt, config.ollama_config)
        choice = LoRARequest(
            config.mode,
            selection=None if loras is None else tuple(named_loras(loras)),
            preferences=config.lora_preferences,
            quality_tags=config.quality_tags,
            fit=self.host.lora_fit() if measured else None,
            judge=config.ollama_config if config.judge_loras else None,
        )
        recommendations = self.planner.recommend(analysis, self._evidence(), choice)
        if self._of_demo:
            note = Reason.of("library", Source.DEFAULT, GenerationMessage.DEMO_LIBRARY)
            recommendations = replace(recommendations, reasons=(note, *recommendations.reasons))
        passed = {tag.name for tag in choice.selection or ()}
        if refused := [item for item in recommendations.rejected if item.lora_name in passed]:
            raise InvalidInputError("; ".join(f"{item.lora_name}: {item.reason.evidence}" for item in refused))
        settings = SettingsRequest(config.constraints, overrides, request or self.memory_request(), aspect)
        return self.planner.parametrize(recommendations, settings)

    def _confirmed(self, prompt: str, negative_prompt: str, recommendations: Recommendations) -> Recommendations:
        self._check_config(self.host.base_model)
        for lora in recommendations.suggested_loras:
            known = isinstance(lora, LoRARecommendation)
            require(
                known, f"suggested_loras holds {lora!r}: it takes LoRARecommendation only; to name LoRAs, use `loras`"
            )
        analysis = self.planner.analyze(prompt, negative_prompt)
        recommendations.suggested_params.check()
        check_names(recommendations.suggested_params.sampler_name, recommendations.suggested_params.scheduler)
        one = replace(as_edited(recommendations.suggested_params), batch_size=1)
        recommendations = replace(
            recommendations,
            prompt_analysis=analysis,
            suggested_params=self.planner.optimizer.predicted(one, all_items(one)),
            model=self._evidence(),
            suggested_loras=[self._with_local_file(lora) for lora in recommendations.suggested_loras],
        )
        manual = self.config.mode is OperationMode.MANUAL
        return self.planner.compose(recommendations, quality_tags=self.config.quality_tags and not manual)

    def _with_local_file(self, lora: LoRARecommendation) -> LoRARecommendation:
        """Return a LoRA with its file on this machine: a saved image's JSON names none."""
        if lora.lora_metadata.local_path:
            return lora
        return replace(lora, lora_metadata=self.registry.get_model(lora.lora_metadata.model_id))

    def _planned(self, recommendations: Recommendations) -> GenerationPlan:
        return self.planner.plan(recommendations, self.memory_request())

    def _run(
        self,
        plan: GenerationPlan,
        seeds: Sequence[int],
        on_step: OnStep | None = None,
        host: Host | None = None,
        run_id: str = "",
    ) -> list[GenerationResult]:
        found = self.planner.used_files.start(plan)
        execution, generation = run_plan(
            host or self.host, plan, seeds, self.learning, run_id=run_id, on_step=on_step, memory=self.memory_manager
        )
        return results_of(execution, self.planner.used_files.told(generation, found), self.planner.used_files)
