"""Commands that make pictures, and those that show what would be made."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import (
    DEFAULT_BASE_MODEL,
    BatchConfig,
    MemorySettings,
    OffloadStrategy,
    PipelineConfig,
    data_folder,
    require,
)
from ..errors import InvalidInputError, StorageError
from ..learning import LearningEngine
from ..lora.lora_messages import LoRAMessage
from ..models import ModelEvidence, named_family
from ..pictures.picture_files import check_destination, picture_format
from ..registry import ModelRegistry
from ..whole_files import unused, write_whole
from .terminal import Answer, progress

if TYPE_CHECKING:
    from ..generation.generation_result import GenerationResult
    from ..generation.pipeline import IntelligentGenerationPipeline
    from ..generation.run_file import Run, RunFile
    from ..generation.stages import Recommendations


def generate(options: argparse.Namespace) -> Answer:
    from ..generation.explanation import as_text
    from ..generation.image_file import Metadata
    from ..generation.run_file import Run
    from ..generation.standalone import quiet_process

    keep = Metadata.NONE if options.no_metadata else Metadata.ALL
    run_file, chosen = _run_file(options)
    count = run_file.run.batch.num_images if run_file.run.batch else 1
    if options.out is None and run_file.run.out == Run.out:
        run_file = replace(run_file, run=replace(run_file.run, out=unused_name(Run.out, count)))
    for number in range(count):
        check_destination(_numbered(run_file.run.out, number, count))
    for number in range(1, (options.scout or 0) + 1):
        check_destination(_preview_path(run_file.run.out, number))
    with quiet_process():
        results = _results(options, run_file, chosen)
    data, texts, problems = [], [], []
    for number, result in enumerate(results):
        try:
            saved = result.write(_numbered(run_file.run.out, number, len(results)), keep)
        except (StorageError, InvalidInputError) as error:
            problems.append(str(error))
            continue
        for note in saved.notes:
            print(note, file=sys.stderr)
        metadata, explanation = result.metadata.to_dict(), result.explanation.to_dict()
        data.append({"id": result.id, "path": str(saved.path), "metadata": metadata, "explanation": explanation})
        texts.append(f"{saved.path}  (id {result.id})\n\n{as_text(result.explanation)}")
    if problems:
        raise StorageError("\n".join(problems))
    return data, "\n\n".join(texts)


def unused_name(name: str, count: int) -> str:
    """Return a name of which no picture is there: nobody asked to replace one by a name that nobody gave."""

    def is_used(path: Path) -> bool:
        return any(_numbered(str(path), number, count).exists() for number in range(count))

    return str(unused(Path(name), is_used))


def _numbered(name: str, number: int, count: int) -> Path:
    path = Path(name)
    return path if count == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def _preview_path(name: str, number: int) -> Path:
    path = Path(name)
    return path.with_name(f"{path.stem}-scout-{number}{path.suffix}")


def _results(options: argparse.Namespace, run_file: RunFile, chosen: Recommendations | None) -> list[GenerationResult]:
    from ..generation.pipeline import IntelligentGenerationPipeline
    from ..generation.run_file import changed_choice

    run, pipeline = run_file.run, IntelligentGenerationPipeline(run_file.config)
    overrides, batch = run.settings.overrides(), run.batch or BatchConfig(1)
    seed = run.seed if batch.base_seed is None else batch.base_seed
    if chosen:
        chosen = changed_choice(chosen, run_file)
    one = batch.num_images == 1
    require(one or not options.scout, "only one scouted seed is finished; leave out --images or --scout")
    require(
        one or run.best_of == 1,
        "the best of several is one picture: set num_images (--images) to 1, or leave out best_of (--best-of)",
    )
    require(run.best_of == 1 or not options.scout, "--best-of finishes one by itself; leave out --scout or --best-of")
    if options.scout:
        return [_scouted(options, run, pipeline, chosen)]
    with progress(options, "step") as step:
        if chosen:
            return [
                pipeline.generate_from_recommendations(run.prompt, chosen, run.negative_prompt, run.seed, on_step=step)
            ]
        if batch.num_images == 1:
            return [
                pipeline.generate(
                    run.prompt,
                    run.negative_prompt,
                    seed,
                    best_of=run.best_of,
                    variation_strategy=batch.variation_strategy,
                    on_step=step,
                    **overrides,
                )
            ]
        batch = replace(batch, base_seed=seed)
        return pipeline.generate_batch(
            run.prompt, batch, run.negative_prompt, lambda now: step(now.steps_done, now.steps_total), **overrides
        )


def _scouted(
    options: argparse.Namespace, run: Run, pipeline: IntelligentGenerationPipeline, chosen: Recommendations | None
) -> GenerationResult:
    """Scout, write the previews, ask which seed to finish, and finish it."""
    overrides = {} if chosen else run.settings.overrides()
    with progress(options, "step") as step:
        scouting = pipeline.scout(
            run.prompt,
            run.negative_prompt,
            run.seed,
            count=options.scout,
            recommendations=chosen,
            on_step=step,
            **overrides,
        )
    ranking = scouting.ranking
    expected = ranking.stars if ranking else ()
    for number, (seed, preview) in enumerate(zip(scouting.seeds, scouting.previews, strict=True), 1):
        path = _preview_path(run.out, number)
        try:
            write_whole(path, partial(preview.save, format=picture_format(path)))
        except (OSError, ValueError) as error:
            raise StorageError(f"{path} cannot be written: {error}") from error
        stars = f", {expected[number - 1]:+.1f} stars" if expected else ""
        print(f"{number}: {path}  (seed {seed}{stars})", file=sys.stderr)
    if ranking:
        print(ranking.reason.evidence, file=sys.stderr)
    print(f"Which one to finish, 1 to {len(scouting.seeds)}? ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip()
    if answer not in map(str, range(1, len(scouting.seeds) + 1)):
        raise InvalidInputError(f"{answer!r} is none of the scouted seeds; nothing was finished")
    with progress(options, "step") as step:
        return pipeline.generate_from_scouting(scouting, int(answer) - 1, step)


def recommend(options: argparse.Namespace) -> Answer:
    from ..generation.explanation import as_text, explain
    from ..generation.pipeline import IntelligentGenerationPipeline

    run_file, _ = _run_file(options)
    config, prompt = run_file.config, run_file.run.prompt
    if config.base_model == DEFAULT_BASE_MODEL:
        recommendations = _recommended_without_model(prompt, config)
    else:
        recommendations = IntelligentGenerationPipeline(config).analyze_and_recommend(prompt)
    text = as_text(explain(recommendations)) + f"\n\nPrompt: {recommendations.prompt}"
    if recommendations.nearest:
        text += "\n\nNear, not applied; its tag in the prompt adds it:"
    for near in recommendations.nearest:
        text += f"\n  {near.confidence_score:.2f}  <lora:{near.lora.removesuffix('.safetensors')}:{near.strength:g}>"
    if any(reason.message == LoRAMessage.EMPTY_LIBRARY.key for reason in recommendations.reasons):
        text += "\n\nNo LoRA is known here yet: python -m intelligence scan FOLDER reads those of a folder."
    return recommendations.to_dict(), text


def _recommended_without_model(prompt: str, config: PipelineConfig) -> Recommendations:
    """LoRAs of one's own library and settings for the kind of model that is named, of which no file is needed."""
    from ..generation.choice_requests import LoRARequest, SettingsRequest
    from ..generation.explanation import explain
    from ..generation.planner import Planner
    from ..memory import MemoryManager

    planner = Planner(ModelRegistry(), LearningEngine(), MemoryManager(data_folder() / "memory.db"))
    named = config.model_family
    evidence = ModelEvidence(name=DEFAULT_BASE_MODEL) if named is None else ModelEvidence(family=named_family(named))
    request = LoRARequest(config.mode, preferences=config.lora_preferences, quality_tags=config.quality_tags)
    chosen = planner.recommend(planner.analyze(prompt), evidence, request)
    recommendations = planner.parametrize(chosen, SettingsRequest(config.constraints))
    return replace(recommendations, explanation=explain(recommendations))


def plan(options: argparse.Namespace) -> Answer:
    from ..generation.explanation import plan_lines
    from ..generation.memory_outlook import plan_ahead
    from ..memory import MemoryManager, MemoryRequest

    width, height = _size(options.size)
    request = MemoryRequest(
        width,
        height,
        options.batch,
        weights_gb={} if options.weights is None else {"unet": options.weights},
        guided=not options.no_cfg,
        steps=options.steps,
        settings=MemorySettings(OffloadStrategy(options.strategy)),
        tile_size=options.tile,
    )
    manager = MemoryManager(data_folder() / "memory.db")
    planned = plan_ahead(request, options.architecture, manager, LearningEngine(), options.vram)
    return planned.to_dict(), "\n".join(plan_lines(planned))


_PLACES = {
    "prompt": "run.prompt",
    "base_model": "base_model",
    "model_family": "model_family",
    "allow_downloads": "allow_downloads",
    "mode": "mode",
    "priority": "constraints.priority",
    "max_time": "constraints.max_time_seconds",
    "max_vram": "constraints.max_vram_gb",
    "max_loras": "lora_preferences.max_loras",
    "min_confidence": "lora_preferences.min_confidence",
    "mix_styles": "lora_preferences.allow_style_mixing",
    "negative": "run.negative_prompt",
    "seed": "run.seed",
    "steps": "run.settings.num_steps",
    "cfg": "run.settings.guidance_scale",
    "sampler": "run.settings.sampler_name",
    "scheduler": "run.settings.scheduler",
    "width": "run.settings.width",
    "height": "run.settings.height",
    "aspect": "run.settings.aspect",
    "lora": "run.settings.loras",
    "second_pass": "run.settings.second_pass",
    "upscaler": "run.settings.upscaler",
    "repair": "repair",
    "seam_check": "seam_check",
    "best_of": "run.best_of",
    "images": "run.batch.num_images",
    "vary": "run.batch.variation_strategy",
    "parallel": "run.batch.parallel_generation",
    "out": "run.out",
}
"""Option → its place in a run file."""


def _run_file(options: argparse.Namespace) -> tuple[RunFile, Recommendations | None]:
    """Return the run that the file and the options describe, and the choice of the picture that it repeats, if any."""
    from ..generation.choice_requests import DEFAULT_STRENGTH
    from ..generation.run_file import RunFile

    run_file, chosen = RunFile.read(options.config) if options.config else (RunFile(), None)
    given = {name: value for name, value in vars(options).items() if name in _PLACES and value is not None}
    if size := getattr(options, "size", None):
        given["width"], given["height"] = _size(size)
    if "lora" in given:
        given["lora"] = dict.fromkeys(given["lora"], DEFAULT_STRENGTH)
    for told in run_file.override({_PLACES[name]: value for name, value in given.items()}):
        print(told, file=sys.stderr)
    require(bool(run_file.run.prompt.strip() or options.config), "give a prompt, or --config FILE with one")
    return run_file, chosen


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise InvalidInputError(f"--size must look like 1024x1024, got {text!r}")
    return int(width), int(height)
