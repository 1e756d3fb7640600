"""`ChoosingPipeline`: a prompt becomes chosen LoRAs, settings and a memory plan, before anything is sampled."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
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
from ..learning import LearningEngine
from ..lora import LoRARecommendation
from ..lora.recommendation import offered_loras
from ..memory import MemoryManager, MemoryRequest, detect_resources
from ..models import ModelEvidence, ModelKind, named_family
from ..parameters.baseline import as_edited
from ..parameters.samplers import check_names
from ..records import Reason, Source
from ..registry import ModelRegistry
from ..validation import did_you_mean
from .choice_requests import LoRARequest, SettingsRequest, named_loras
from .diffusers_host import DiffusersHost
from .embedded import embedded_registry
from .explanation import explain
from .generation_messages import GenerationMessage
from .planner import Planner, lora_variants, parameter_variants
from .postprocess.own_steps import OwnStep
from .postprocess.upscale_models import cost, require_spandrel
from .run import seeds_from
from .run_timer import all_items
from .stages import Recommendations


class ChoosingPipeline:
    """Chooses LoRAs and settings for prompts, for one base model on diffusers."""

    def __init__(self, config: PipelineConfig | None = None, model_registry: ModelRegistry | None = None) -> None:
        self.config = config or PipelineConfig()
        self._check_config(self.config.base_model)
        self._of_demo = model_registry is None and self.config.base_model == EMBEDDED_MODEL
        self.registry = embedded_registry() if self._of_demo else model_registry or ModelRegistry()
        self.learning = LearningEngine()
        self.memory_manager = MemoryManager(data_folder() / "memory.db")
        self.planner = Planner(self.registry, self.learning, self.memory_manager)
        self.host = DiffusersHost(
            self.config.base_model, allow_downloads=self.config.allow_downloads, registry=self.registry
        )
        self.own_steps: tuple[OwnStep, ...] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        known = ("config", "registry", "learning", "memory_manager", "planner", "host", "own_steps", "_of_demo")
        if name not in known:
            raise AttributeError(f"a pipeline has no attribute {name!r}{did_you_mean(name, known[:-1])}")
        if name == "config":
            require(isinstance(value, PipelineConfig), f"config must be a PipelineConfig, got {value!r}")
        super().__setattr__(name, value)

    def analyze_and_recommend(self, prompt: str) -> Recommendations:
        """Choose LoRAs and settings for a prompt without generating. Every part of the answer may be edited."""
        recommendations = self._recommend(prompt, "", {}, measured=False)
        offered = offered_loras(recommendations.suggested_loras, recommendations.nearest)
        return replace(recommendations, explanation=explain(recommendations), offered=offered)

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

    def memory_request(self, images: int = 1, parallel: bool = False) -> MemoryRequest:
        """Return the request for the memory plan of a run, `parallel`: in one forward batch where it fits."""
        return MemoryRequest(
            images=images,
            max_batch=images if parallel else 1,
            settings=self.config.memory_settings,
            weights_gb=self.host.weights_gb(),
            configs=self.host.configs() or {},
        )

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

    def _evidence(self) -> ModelEvidence:
        return replace(self.host.evidence(), family=named_family(self.config.model_family))

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
        settings = SettingsRequest(
            config.constraints,
            overrides,
            request or self.memory_request(),
            aspect,
            upscalers=self._upscalers(overrides.get("upscaler", AUTO)),
            upscale_cost=lambda name: cost(self.host.find_upscaler(name), detect_resources().device),
        )
        return self.planner.parametrize(recommendations, settings)

    def _upscalers(self, asked: str) -> list[str]:
        """Names of the library's upscale models; none where spandrel is missing, unless one is asked for."""
        found = [one.model_id.partition(":")[2] for one in self.registry.summaries(ModelKind.UPSCALER)]
        if asked in found:
            require_spandrel(f"the upscale model {asked}")
        return found if find_spec("spandrel") else []

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
