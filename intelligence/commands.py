"""The commands of `python -m intelligence`: each takes parsed options, and returns JSON data with the same as text.

The table in `__main__` says what each one does.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import (
    DEFAULT_BASE_MODEL,
    BatchConfig,
    MemorySettings,
    OffloadStrategy,
    PipelineConfig,
    data_folder,
    require,
)
from .errors import InvalidInputError, StorageError, UnknownGenerationError
from .hubs import CivitAI, HuggingFace
from .hubs.references import reference
from .learning import LearningEngine
from .lora import LoRARecommender
from .lora.lora_messages import LoRAMessage
from .models import Architecture, Family, ModelEvidence, ModelKind, ModelMetadata
from .pictures.picture_files import check_destination, picture_format
from .registry import ModelRegistry, newer_versions
from .registry import enrich as enrich_registry
from .whole_files import write_whole

if TYPE_CHECKING:
    from .generation.pipeline import GenerationResult, IntelligentGenerationPipeline
    from .generation.planner import Planner
    from .generation.run_file import Run, RunFile
    from .generation.stages import Recommendations
    from .history import PictureHistory

Answer = tuple[Any, str]
"""JSON data, and the same as text for people."""


def generate(options: argparse.Namespace) -> Answer:
    from .generation.explanation import as_text
    from .generation.image_file import Metadata
    from .generation.standalone import quiet_process

    keep = Metadata.NONE if options.no_metadata else Metadata.ALL
    run_file, chosen = _run_file(options)
    count = run_file.run.batch.num_images if run_file.run.batch else 1
    for number in range(count):
        check_destination(_numbered(run_file.run.out, number, count))
    with quiet_process():
        results = _results(options, run_file, chosen)
    data, texts, problems = [], [], []
    for number, result in enumerate(results):
        try:
            saved = result.write(_numbered(run_file.run.out, number, len(results)), keep)
        except StorageError as error:
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


def _numbered(name: str, number: int, count: int) -> Path:
    path = Path(name)
    return path if count == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def _results(options: argparse.Namespace, run_file: RunFile, chosen: Recommendations | None) -> list[GenerationResult]:
    from .generation.pipeline import IntelligentGenerationPipeline
    from .generation.run_file import changed_choice

    run, pipeline = run_file.run, IntelligentGenerationPipeline(run_file.config)
    overrides, batch = run.settings.overrides(), run.batch or BatchConfig(1)
    if chosen:
        chosen = changed_choice(chosen, run_file)
    elif "loras" not in overrides:
        _prepare(options, run.prompt, pipeline.planner)
    if options.scout:
        if batch.num_images > 1:
            raise InvalidInputError("only one scouted seed is finished; leave out --images or --scout")
        return [_scouted(options, run, pipeline, chosen)]
    with _progress(options, "step") as step:
        if chosen:
            return [pipeline.generate_from_recommendations(run.prompt, chosen, run.negative_prompt, run.seed)]
        if batch.num_images == 1:
            seed = run.seed if batch.base_seed is None else batch.base_seed
            return [pipeline.generate(run.prompt, run.negative_prompt, seed, on_step=step, **overrides)]
        if overrides:
            raise InvalidInputError("settings can be given for one image only; leave out --images or the settings")
        batch = replace(batch, base_seed=run.seed if batch.base_seed is None else batch.base_seed)
        return pipeline.generate_batch(
            run.prompt, batch, run.negative_prompt, lambda now: step(now.steps_done, now.steps_total)
        )


def _scouted(
    options: argparse.Namespace, run: Run, pipeline: IntelligentGenerationPipeline, chosen: Recommendations | None
) -> GenerationResult:
    """Scout, write the previews, ask which seed to finish, and finish it."""
    overrides = {} if chosen else run.settings.overrides()
    with _progress(options, "step") as step:
        scouting = pipeline.scout(
            run.prompt,
            run.negative_prompt,
            run.seed,
            count=options.scout,
            recommendations=chosen,
            on_step=step,
            **overrides,
        )
    target = Path(run.out)
    for number, (seed, preview) in enumerate(zip(scouting.seeds, scouting.previews, strict=True), 1):
        path = target.with_name(f"{target.stem}-scout-{number}{target.suffix}")
        try:
            write_whole(path, partial(preview.save, format=picture_format(path)))
        except (OSError, ValueError) as error:
            raise StorageError(f"{path} cannot be written: {error}") from error
        print(f"{number}: {path}  (seed {seed})", file=sys.stderr)
    print(f"Which one to finish, 1 to {len(scouting.seeds)}? ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip()
    if answer not in map(str, range(1, len(scouting.seeds) + 1)):
        raise InvalidInputError(f"{answer!r} is none of the scouted seeds; nothing was finished")
    with _progress(options, "step") as step:
        return pipeline.generate_from_scouting(scouting, int(answer) - 1, step)


def recommend(options: argparse.Namespace) -> Answer:
    from .generation.explanation import as_text, explain
    from .generation.pipeline import IntelligentGenerationPipeline

    run_file, _ = _run_file(options)
    config, prompt = run_file.config, run_file.run.prompt
    if config.base_model == DEFAULT_BASE_MODEL:
        recommendations = _recommended_without_model(options, prompt, config)
    else:
        pipeline = IntelligentGenerationPipeline(config)
        _prepare(options, prompt, pipeline.planner)
        recommendations = pipeline.analyze_and_recommend(prompt)
    text = as_text(explain(recommendations)) + f"\n\nPrompt: {recommendations.prompt}"
    if any(reason.message == LoRAMessage.EMPTY_LIBRARY.key for reason in recommendations.reasons):
        text += "\n\nNo LoRA is known here yet: python -m intelligence scan FOLDER reads those of a folder."
    return recommendations.to_dict(), text


def _prepare(options: argparse.Namespace, prompt: str, planner: Planner) -> None:
    with _progress(options, "LoRA") as step:
        planner.prepare(prompt, step)


def _recommended_without_model(options: argparse.Namespace, prompt: str, config: PipelineConfig) -> Recommendations:
    """LoRAs of one's own library and settings for the kind of model that is named, of which no file is needed."""
    from .generation.choice_requests import LoRARequest, SettingsRequest
    from .generation.explanation import explain
    from .generation.planner import Planner
    from .memory import MemoryManager

    planner = Planner(ModelRegistry(), LearningEngine(), MemoryManager(data_folder() / "memory.db"))
    named = config.model_family
    if named not in (None, *Family):
        raise InvalidInputError(f"--model-family must be one of {', '.join(Family)}, got {named!r}")
    evidence = ModelEvidence(name=DEFAULT_BASE_MODEL) if named is None else ModelEvidence(family=Family(named))
    request = LoRARequest(config.mode, preferences=config.lora_preferences, quality_tags=config.quality_tags)
    _prepare(options, prompt, planner)
    chosen = planner.recommend(planner.analyze(prompt), evidence, request)
    recommendations = planner.parametrize(chosen, SettingsRequest(config.constraints))
    return replace(recommendations, explanation=explain(recommendations))


def plan(options: argparse.Namespace) -> Answer:
    from .generation.explanation import plan_lines
    from .memory import MemoryManager, MemoryRequest, hypothetical_gpu
    from .memory.footprints import known_models
    from .parameters.speed import learn, timing_key
    from .parameters.workload import Work

    width, height = _size(options.size)
    names = sorted({model.architecture for model in known_models()})
    require(options.architecture in names, f"architecture: {options.architecture} is none of {', '.join(names)}")
    architecture = Architecture(options.architecture)
    request = MemoryRequest(
        width,
        height,
        options.batch,
        architecture=architecture,
        weights_gb={} if options.weights is None else {"unet": options.weights},
        guided=not options.no_cfg,
        steps=options.steps,
        settings=MemorySettings(OffloadStrategy(options.strategy)),
        tile_size=options.tile,
    )
    manager = MemoryManager(data_folder() / "memory.db")
    resources = manager.detect_resources()
    key = timing_key(resources.device, architecture, options.weights)
    timings = LearningEngine().timings(key)
    if options.vram is not None:
        resources, key, timings = hypothetical_gpu(options.vram, resources), "cuda", []
    work = Work(width, height, request.items, request.steps * request.images, request.images)
    plan = manager.plan(request, rates=learn(timings, key).rates(work), resources=resources)
    return plan.to_dict(), "\n".join(plan_lines(plan))


def scan(options: argparse.Namespace) -> Answer:
    for folder in options.folders:
        if not Path(folder).is_dir():
            raise InvalidInputError(f"{folder} is no folder")
    registry = ModelRegistry()
    with _progress(options, "file") as step:
        found = registry.scan({ModelKind(options.kind): options.folders}, step)
    lines = [f"{found.added} added, {found.changed} changed, {found.removed} removed, {found.unchanged} unchanged"]
    lines += [f"  {path}: {reason}" for path, reason in found.problems.items()]
    if options.kind == ModelKind.LORA:
        with _progress(options, "LoRA") as step:
            read = LoRARecommender(registry).build_meaning(step)
        lines += [f"{read} read for comparing meaning"] * bool(read)
    return found.to_dict(), "\n".join(lines)


def search(options: argparse.Namespace) -> Answer:
    if options.hub:
        hub = CivitAI() if options.hub == "civitai" else HuggingFace()
        page = hub.search(options.text, limit=options.limit)
        lines = [f"{reference(model)}  {model.title}  {model.base_model or ''}".rstrip() for model in page.models]
        return [model.to_dict() for model in page.models], "\n".join(lines) or "nothing found"
    models = ModelRegistry().search(options.text, limit=options.limit)
    return [model.to_dict() for model in models], "\n".join(map(_line, models)) or "nothing found"


def verify(options: argparse.Namespace) -> Answer:
    registry = ModelRegistry()
    if options.hash:
        with _progress(options, "file") as step:
            registry.hash_models(step)
    wrong = registry.verify(options.name)
    lines = [f"{model}: {reason}" for model, reason in wrong.items()]
    return wrong, "\n".join(lines) or "nothing wrong"


def get(options: argparse.Namespace) -> Answer:
    with _progress(options, "B") as step:
        model = ModelRegistry().register_from_reference(
            options.reference,
            kind=ModelKind(options.kind),
            folder=options.folder,
            token=options.token,
            on_progress=lambda done, total: step(done, total or done),
        )
    return model.to_dict(), _line(model)


def cleanup(options: argparse.Namespace) -> Answer:
    if options.repository:
        freed = HuggingFace().delete_cached(options.repository, dry_run=not options.delete)
    else:
        freed = ModelRegistry().cleanup_cache(options.keep, options.max_size, dry_run=not options.delete)
    size = f"{freed.freed_bytes / 1024**3:.2f} GiB"
    action = f"{size} freed" if options.delete else f"{size} would be freed; add --delete to do so"
    return freed.to_dict(), "\n".join([*freed.removed, f"{action}, {freed.kept} downloads kept"])


def correct(options: argparse.Namespace) -> Answer:
    registry = ModelRegistry()
    names = ("base", "kind", "triggers", "strength", "clip_strength", "exclude", "favourite")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if not given and not options.reset:
        raise InvalidInputError(f"say what is right: {', '.join('--' + name.replace('_', '-') for name in names)}")
    if "clip_strength" in given:
        given["strength_clip"] = given.pop("clip_strength")
    taken_back = dict.fromkeys(registry.correction(options.name).to_plain()) if options.reset else {}
    model = registry.correct(options.name, **taken_back | given)
    word = registry.correction(model.model_id).to_plain()
    lines = [f"  {name}: {'; '.join(value) if name == 'triggers' else value}" for name, value in word.items()]
    return model.to_dict(), "\n".join([_line(model), *lines])


def updates(options: argparse.Namespace) -> Answer:
    with _progress(options, "model") as step:
        found = newer_versions(ModelRegistry(), CivitAI(), lambda done, total: step(done, total or done))
    lines = [f"{each.model_id}: {each.title} {each.version_name}  get {each.reference}" for each in found.newer]
    return found.to_dict(), "\n".join([*lines, f"{found.asked} models asked about, {len(found.newer)} have newer ones"])


def enrich(options: argparse.Namespace) -> Answer:
    registry = ModelRegistry()
    with _progress(options, "file") as step:
        registry.hash_models(step)
    with _progress(options, "hash") as step:
        found = enrich_registry(registry, CivitAI(), lambda done, total: step(done, total or done))
    return found.to_dict(), f"{found.asked} hashes asked about, {len(found.updated)} models known there"


def _own_pictures(registry: ModelRegistry) -> PictureHistory:
    from .history.own_pictures import HISTORY_FILE, PictureHistory

    return PictureHistory(registry.folder / HISTORY_FILE)


def history(options: argparse.Namespace) -> Answer:
    from .history.history_reading import ReadingPace
    from .lora.lora_library import forget_index

    registry = ModelRegistry()
    pictures = _own_pictures(registry)
    told: list[str] = []
    if options.action in ("on", "off"):
        named = [Path(folder).expanduser().absolute() for folder in options.folders]
        pictures.switch(options.action == "on", named or None)
    elif options.action == "forget":
        number = pictures.forget(options.prompt)
        forget_index(registry.folder)
        told.append(f"{number} pictures forgotten; their files stay")
    if options.action == "read" or (options.action == "on" and pictures.folders):
        with _progress(options, "picture") as step:
            found = pictures.read((), ReadingPace(LearningEngine().keep_prompts), step)
        told.append(f"{found.read} read, {found.told} of them tell how they were made, {found.skipped} were skipped")
        told += [f"{folder}: {problem}" for folder, problem in found.problems.items()]
    if options.action == "used":
        used = pictures.use(registry.summaries(ModelKind.LORA), registry.moves())
        lines = [f"{number:6}  {name}" for name, number in [*used.loras.items(), *used.unknown_loras.items()]]
        lines += [f"{use.pictures:6}  {use.checkpoint}  {_words(use.settings)}" for use in used.checkpoints]
        return used.to_dict(), "\n".join(lines) or "no pictures were read yet"
    status = pictures.status()
    told.append(f"{'on' if status.on else 'off'}: {status.told} pictures known, {status.skipped} could not be read")
    told += [status.problem] if status.problem else list(status.folders)
    return status.to_dict(), "\n".join(told)


def _words(settings: dict[str, int | float | str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def show(options: argparse.Namespace) -> Answer:
    if Path(options.name).is_file():
        return _show_picture(Path(options.name), options.as_workflow)
    require(not options.as_workflow, f"{options.name} is no picture, of which --as-workflow makes a graph")
    learning = LearningEngine()
    try:
        stored = learning.get_generation(options.name)
    except UnknownGenerationError:
        model = ModelRegistry().get_model(options.name)
        return model.to_dict(), "\n".join(f"{key}: {value}" for key, value in model.to_dict().items() if value)
    return _show_generation(stored.data, learning)


def _show_picture(path: Path, as_workflow: bool) -> Answer:
    from .generation.picture_graph import picture_graph
    from .generation.picture_history import picture_lines, picture_of, picture_record

    record = picture_record(path)
    if as_workflow:
        graph = picture_graph(picture_of(path, record))
        return graph, json.dumps(graph, ensure_ascii=False, indent=2)
    if record is not None:
        return _show_generation(record, LearningEngine())
    info = picture_of(path, record)
    return info.to_dict(), "\n".join(picture_lines(info))


def _show_generation(data: dict[str, Any], learning: LearningEngine) -> Answer:
    from .generation.explanation import as_text, explain
    from .generation.stages import Generation

    generation = Generation.from_dict(data)
    try:
        ratings = learning.ratings(generation.id)
    except UnknownGenerationError:
        ratings = []  # a picture from another machine
    stars = [f"Rated {rating.rating} of 5 {rating.comments}".rstrip() for rating in ratings]
    shown = {**data, **generation.to_dict(), "ratings": [rating.to_dict() for rating in ratings]}
    prompt = generation.plan.recommendations.prompt
    return shown, "\n".join([as_text(explain(generation)), "", f"Prompt: {prompt}", *stars])


def _line(model: ModelMetadata) -> str:
    return f"{model.name}  {model.architecture.value}/{model.family.value}  {model.local_path}"


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
    "images": "run.batch.num_images",
    "vary": "run.batch.variation_strategy",
    "parallel": "run.batch.parallel_generation",
    "out": "run.out",
}
"""Option → its place in a run file."""


def _run_file(options: argparse.Namespace) -> tuple[RunFile, Recommendations | None]:
    """Return the run that the file and the options describe, and the choice of the picture that it repeats, if any."""
    from .generation.choice_requests import DEFAULT_STRENGTH
    from .generation.run_file import RunFile

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


@contextmanager
def _progress(options: argparse.Namespace, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback for (done, total), shown as a bar on a terminal."""
    from tqdm import tqdm

    with tqdm(unit=unit, disable=options.json or not sys.stderr.isatty(), leave=False) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report
