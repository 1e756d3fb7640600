"""`IntelligentGenerationPipeline`: a prompt becomes a chosen, planned, sampled, explained and rated image."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config import (
    BatchConfig,
    VariationStrategy,
    require,
)
from ..learning import Feedback
from ..learning.observations import Evidence
from ..validation import checked
from .best_of import Tried, affordable, candidates_of, look_of_image, ranked_previews
from .choosing_pipeline import ChoosingPipeline
from .execution.job_records import ELSEWHERE, ONCE, Executor, Job, RunProgress
from .execution.job_run import JobRun
from .execution.local_executor import LocalExecutor
from .execution.planned_run import PlannedRun
from .generation_result import GenerationResult, results_of
from .history import GenerationSummary, generations_to_rate
from .noticing import note_act
from .picture_history import rated_id
from .postprocess.own_steps import host_with
from .postprocess.steps import switched_off
from .run import Host, OnStep, run_plan, seeds_from
from .scouting import MAX_SEEDS, Scouting
from .stages import GenerationPlan, Recommendations


@dataclass(frozen=True)
class BatchProgress:
    images_done: int
    images_total: int
    steps_done: int
    steps_total: int
    """Of the forward batches that are being sampled now."""


class IntelligentGenerationPipeline(ChoosingPipeline):
    """Chooses, plans and samples images for prompts, on diffusers.

    Args:
        config: base model, mode and limits; by default SDXL base, AUTO, no limits.
        model_registry: LoRAs to choose from, filled by `ModelRegistry.scan`. None: those registered in the data folder
            (for the `embedded` base model: the four LoRAs that come with it).

    `own_steps`, an attribute, holds steps of your own (`OwnStep`) that finished pictures go through, in order, here:
    those of batches too, wherever they were made.
    """

    def generate(
        self,
        prompt: str,
        negative_prompt: str = "",
        seed: int | None = None,
        *,
        best_of: int = 1,
        variation_strategy: VariationStrategy = VariationStrategy.SEED_VARIATION,
        **overrides: Any,
    ) -> GenerationResult:
        """Make one image.

        Args:
            seed: 0 … 2**64 − 1; None: random.
            best_of: 1 … 64 images are begun, a quarter of the steps each, and the one is finished that you will like
                best by your ratings, the first where these do not tell yet; fewer where the time limit is too short.
                The image equals that of a whole run of its own; `result.metadata.best_of` tells what it cost.
            variation_strategy: what differs between these, as in a batch.
            overrides: settings that win over every choice: `num_steps`, `guidance_scale`, `width`, `height`,
                `sampler_name`, `scheduler`, `clip_skip`; `aspect` (`auto`, `16:9`, `portrait` …); `loras` (names, or
                name → strength) to apply these instead of choosing; `second_pass` (`auto`, `on`, `off`): see
                `SecondPassUse`; `upscaler` (`auto`, `latent`, the file of an upscale model of the library); `on_step`,
                called with (steps done, steps in all).

        Raises:
            ConfirmationRequiredError: the mode is ASSISTED, which generates from confirmed recommendations only.
            InvalidInputError, ModelNotFoundError, UnsupportedModelError, StorageError: each says what to do.
        """
        checked("best_of", best_of, int, ge=1, le=MAX_SEEDS)
        self._require_confirmation("generate_from_recommendations(prompt, recommendations)")
        seeds = seeds_from(seed, 1)
        on_step = overrides.pop("on_step", None)
        if best_of == 1:
            recommendations = self._recommend(prompt, negative_prompt, overrides)
            return self._run(self._planned(recommendations), seeds, on_step)[0]
        batch = BatchConfig(best_of, variation_strategy, base_seed=seeds[0])
        runs, _ = self.variations(prompt, batch, negative_prompt, one_by_one=True, **overrides)
        runs = runs[: affordable(best_of, runs[0][0].suggested_params)]
        scoutings = [self.host.scout(self._planned(each), run_seeds, on_step) for each, run_seeds in runs]
        return self._best(scoutings, best_of, on_step)

    def generate_from_recommendations(
        self,
        prompt: str,
        recommendations: Recommendations,
        negative_prompt: str = "",
        seed: int | None = None,
        *,
        on_step: Callable[[int, int], None] | None = None,
    ) -> GenerationResult:
        """Make one image from recommendations as they are, edits included.

        `prompt` may differ from the one that was analysed: it is encoded with the trigger words of the recommended
        LoRAs. Recommendations from a saved image's JSON work too, where this machine has the LoRAs.
        `on_step` is called with (steps done, steps in all). Raises like `generate`.
        """
        seeds = seeds_from(seed, 1)
        return self._run(self._planned(self._confirmed(prompt, negative_prompt, recommendations)), seeds, on_step)[0]

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
        scouting = self.host.scout(self._planned(recommendations), seeds, on_step)
        return replace(scouting, ranking=ranked_previews([scouting], self.planner.taste()))

    def generate_from_scouting(
        self, scouting: Scouting, pick: int | None = None, on_step: OnStep | None = None
    ) -> GenerationResult:
        """Finish the image of `scouting.seeds[pick]` from where `scout` stopped; None: the best by your ratings.

        Raises InvalidInputError where there is no such seed, or where its settings or a LoRA's file were changed since;
        otherwise like `generate`.
        """
        if pick is None:
            return self._best([scouting], len(scouting.seeds), on_step)
        host = self.host.resume(scouting, pick)
        result = self._run(scouting.plan, [scouting.seeds[pick]], on_step, host)[0]
        note_act(self.learning, result.id, Evidence.SCOUTED, pick, [*map(look_of_image, scouting.previews)])
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

        `executor`: where they are made, such as `RayExecutor` or `ComfyUIExecutor`; None: here, one run after another.
        What fails there, or loses its worker, is tried again, elsewhere where it can be. `overrides`: settings as for
        `generate`, which no variation changes.

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
        planned = PlannedRun(lambda _: (self.planner, request), self.own_steps)
        place = executor or LocalExecutor(lambda _: self.host)
        with JobRun(place, planned.fit, ONCE if place.inline else ELSEWHERE, told) as run:
            run.start(lambda worker: planned.factor(jobs[0], worker))
            run.submit(jobs)
            for outcome in run.results(in_order=True):
                results.extend(planned.results(outcome, run_id))
                report(0, 0)
        return results

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

    def _best(self, scoutings: Sequence[Scouting], asked: int, on_step: OnStep | None) -> GenerationResult:
        """Finish what the user will like best of all seeds of `scoutings`."""
        ranking = ranked_previews(scoutings, self.planner.taste())
        scouting, pick = candidates_of(scoutings)[ranking.order[0]]
        record = Tried.of(scoutings).best(ranking, asked, scouting.plan.parameters.max_time_seconds)
        host = self.host.resume(scouting, pick, record)
        return self._run(scouting.plan, [scouting.seeds[pick]], on_step, host)[0]

    def _planned(self, recommendations: Recommendations) -> GenerationPlan:
        off = switched_off(repair=self.config.repair, seam_check=self.config.seam_check)
        return self.planner.plan(recommendations, self.memory_request()).without(off)

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
            host_with(self.own_steps, host or self.host),
            *(plan, seeds, self.learning),
            run_id=run_id,
            on_step=on_step,
            memory=self.memory_manager,
        )
        return results_of(execution, self.planner.used_files.told(generation, found), self.planner.used_files)
