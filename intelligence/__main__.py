"""`python -m intelligence`: the pack from a terminal. Every command takes --json."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import (
    DEFAULT_BASE_MODEL,
    BatchConfig,
    GenerationConstraints,
    LoRAPreferences,
    MemorySettings,
    OffloadStrategy,
    OperationMode,
    PipelineConfig,
    Priority,
    VariationStrategy,
    data_folder,
)
from .errors import IntelligentGenerationError, InvalidInputError, StorageError, UnknownGenerationError

if TYPE_CHECKING:
    from .generation.pipeline import IntelligentGenerationPipeline
    from .generation.result import GenerationResult

_KINDS = ("lora", "checkpoint", "vae", "embedding")

Answer = tuple[Any, str]
"""What a command hands back: JSON data, and the same as text for people."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: 0; 1 for an error that the message explains; 2 for unusable arguments."""
    options = _parser().parse_args(arguments)
    try:
        data, text = options.run(options)
    except IntelligentGenerationError as error:
        if options.json:
            print(json.dumps({"error": str(error), "kind": type(error).__name__}))
        else:
            print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(json.dumps(data, ensure_ascii=False, indent=2) if options.json else text)
    return 0


def _generate(options: argparse.Namespace) -> Answer:
    from .generation.standalone import quiet_process

    with quiet_process():
        return _generated(options)


def _generated(options: argparse.Namespace) -> Answer:
    from .generation.explanation import as_text
    from .generation.pipeline import BatchProgress, IntelligentGenerationPipeline

    pipeline = IntelligentGenerationPipeline(_config(options))
    results: list[GenerationResult]
    if options.scout:
        if options.images > 1:
            raise InvalidInputError("one scouted seed goes on; leave out --images or --scout")
        results = [_scouted(options, pipeline)]
    elif options.images > 1:
        if _overrides(options):
            raise InvalidInputError("settings can be given for one image only; leave out --images or the settings")
        batch = BatchConfig(options.images, VariationStrategy(options.vary), options.parallel, options.seed)
        with _progress(options, "step") as step:

            def report(progress: BatchProgress) -> None:
                step(progress.steps_done, progress.steps_total)

            results = pipeline.generate_batch(options.prompt, batch, options.negative, report)
    else:
        with _progress(options, "step") as step:
            results = [
                pipeline.generate(options.prompt, options.negative, options.seed, on_step=step, **_overrides(options))
            ]
    target = Path(options.out)
    paths = [target if len(results) == 1 else target.with_stem(f"{target.stem}-{i}") for i in range(len(results))]
    for result, path in zip(results, paths, strict=True):
        result.save(path)
    data = [
        {
            "id": result.id,
            "path": str(path),
            "metadata": result.metadata.to_dict(),
            "explanation": result.explanation.to_dict(),
        }
        for result, path in zip(results, paths, strict=True)
    ]
    lines = [
        f"{path}  (id {result.id})\n\n{as_text(result.explanation)}"
        for result, path in zip(results, paths, strict=True)
    ]
    return data, "\n\n".join(lines)


def _scouted(options: argparse.Namespace, pipeline: IntelligentGenerationPipeline) -> GenerationResult:
    """Scout, write the previews, ask which seed goes on, and finish that one."""
    with _progress(options, "step") as step:
        scouting = pipeline.scout(
            options.prompt, options.negative, options.seed, count=options.scout, on_step=step, **_overrides(options)
        )
    target = Path(options.out)
    for number, (seed, preview) in enumerate(zip(scouting.seeds, scouting.previews, strict=True), 1):
        path = target.with_stem(f"{target.stem}-scout-{number}")
        try:
            preview.save(path)
        except (OSError, ValueError) as error:
            raise StorageError(f"{path} cannot be written: {error}") from error
        print(f"{number}: {path}  (seed {seed})", file=sys.stderr)
    print(f"Which one goes on, 1 to {len(scouting.seeds)}? ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip()
    if answer not in map(str, range(1, len(scouting.seeds) + 1)):
        raise InvalidInputError(f"{answer!r} is none of the scouted seeds; nothing was finished")
    with _progress(options, "step") as step:
        return pipeline.generate_from_scouting(scouting, int(answer) - 1, step)


def _recommend(options: argparse.Namespace) -> Answer:
    from .generation.explanation import as_text, explain
    from .generation.pipeline import IntelligentGenerationPipeline

    recommendations = IntelligentGenerationPipeline(_config(options)).analyze_and_recommend(options.prompt)
    return recommendations.to_dict(), as_text(explain(recommendations)) + f"\n\nPrompt: {recommendations.prompt}"


def _plan(options: argparse.Namespace) -> Answer:
    from .generation.explanation import plan_lines
    from .learning import LearningEngine
    from .memory import MemoryManager, MemoryRequest, hypothetical_gpu
    from .models import Architecture
    from .parameters.speed import learn, timing_key
    from .parameters.timing import Work

    width, height = _size(options.size)
    request = MemoryRequest(
        width,
        height,
        options.batch,
        guided=not options.no_cfg,
        steps=options.steps,
        settings=MemorySettings(OffloadStrategy(options.strategy)),
        tile_size=options.tile,
    )
    manager = MemoryManager(data_folder() / "memory.db")
    resources = manager.detect_resources()
    key = timing_key(resources.device, Architecture.SDXL, None, None)
    timings = LearningEngine().timings(key)
    if options.vram is not None:
        resources, key, timings = hypothetical_gpu(options.vram, resources), "cuda", []
    work = Work(width, height, request.items, request.steps * request.images, request.images)
    plan = manager.plan(request, rates=learn(timings, key).rates(work), resources=resources)
    return plan.to_dict(), "\n".join(plan_lines(plan))


def _scan(options: argparse.Namespace) -> Answer:
    from .models import ModelKind
    from .registry import ModelRegistry

    for folder in options.folders:
        if not Path(folder).is_dir():
            raise InvalidInputError(f"{folder} is no folder")
    with _progress(options, "file") as step:
        found = ModelRegistry().scan({ModelKind(options.kind): options.folders}, step)
    lines = [f"{found.added} added, {found.changed} changed, {found.removed} removed, {found.unchanged} unchanged"]
    lines += [f"  {path}: {reason}" for path, reason in found.problems.items()]
    return found.to_dict(), "\n".join(lines)


def _search(options: argparse.Namespace) -> Answer:
    from .registry import ModelRegistry

    models = ModelRegistry().search(options.text, limit=options.limit)
    lines = [f"{model.name}  {model.architecture.value}/{model.family.value}  {model.local_path}" for model in models]
    return [model.to_dict() for model in models], "\n".join(lines) or "nothing found"


def _verify(options: argparse.Namespace) -> Answer:
    from .registry import ModelRegistry

    registry = ModelRegistry()
    if options.hash:
        with _progress(options, "file") as step:
            registry.hash_models(step)
    wrong = registry.verify(options.name)
    lines = [f"{model}: {reason}" for model, reason in wrong.items()]
    return wrong, "\n".join(lines) or "nothing wrong"


def _get(options: argparse.Namespace) -> Answer:
    from .models import ModelKind
    from .registry import ModelRegistry

    with _progress(options, "B") as step:
        model = ModelRegistry().register_from_reference(
            options.reference,
            kind=ModelKind(options.kind),
            folder=options.folder,
            token=options.token,
            on_progress=lambda done, total: step(done, total or done),
        )
    return model.to_dict(), f"{model.name}  {model.architecture.value}/{model.family.value}  {model.local_path}"


def _cleanup(options: argparse.Namespace) -> Answer:
    from .registry import ModelRegistry

    freed = ModelRegistry().cleanup_cache(options.keep, options.max_size, dry_run=not options.delete)
    size = f"{freed.freed_bytes / 1024**3:.2f} GiB"
    action = f"{size} freed" if options.delete else f"{size} would be freed; add --delete to do so"
    return freed.to_dict(), "\n".join([*freed.removed, f"{action}, {freed.kept} downloads kept"])


def _enrich(options: argparse.Namespace) -> Answer:
    from .hubs import CivitAI
    from .registry import ModelRegistry, enrich

    registry = ModelRegistry()
    with _progress(options, "file") as step:
        registry.hash_models(step)
    with _progress(options, "hash") as step:
        found = enrich(registry, CivitAI(), lambda done, total: step(done, total or done))
    return found.to_dict(), f"{found.asked} hashes asked about, {len(found.updated)} models known there"


def _feedback(options: argparse.Namespace) -> Answer:
    from .learning import LearningEngine

    stored = LearningEngine().record_feedback(options.id, options.rating, options.comments)
    return stored.to_dict(), f"rated {options.rating} of 5: {options.id}"


def _show(options: argparse.Namespace) -> Answer:
    from .generation.explanation import as_text, explain
    from .generation.stages import Generation
    from .learning import LearningEngine
    from .registry import ModelRegistry

    learning = LearningEngine()
    try:
        stored = learning.get_generation(options.name)
    except UnknownGenerationError:
        model = ModelRegistry().get_model(options.name)
        text = "\n".join(f"{key}: {value}" for key, value in model.to_dict().items() if value)
        return model.to_dict(), text
    generation = Generation.from_dict(stored.data)
    ratings = learning.ratings(generation.id)
    stars = [f"Rated {rating.rating} of 5 {rating.comments}".rstrip() for rating in ratings]
    data = {**generation.to_dict(), "ratings": [rating.to_dict() for rating in ratings]}
    return data, "\n".join(
        [as_text(explain(generation)), "", f"Prompt: {generation.plan.recommendations.prompt}", *stars]
    )


def _config(options: argparse.Namespace) -> PipelineConfig:
    return PipelineConfig(
        base_model=options.base_model,
        mode=OperationMode(options.mode),
        constraints=GenerationConstraints(options.max_time, options.max_vram, Priority(options.priority)),
        lora_preferences=LoRAPreferences(options.max_loras, options.min_confidence, options.mix_styles),
        allow_downloads=options.allow_downloads,
        model_family=options.model_family,
    )


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    given = {
        "num_steps": options.steps,
        "guidance_scale": options.cfg,
        "sampler_name": options.sampler,
        "scheduler": options.scheduler,
        "aspect": options.aspect,
        "loras": options.lora,
    }
    if options.size:
        given |= dict(zip(("width", "height"), _size(options.size), strict=True))
    return {name: value for name, value in given.items() if value is not None}


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise InvalidInputError(f"--size must look like 1024x1024, got {text!r}")
    return int(width), int(height)


@contextmanager
def _progress(options: argparse.Namespace, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A callback for (done, total), shown as a bar on a terminal."""
    from tqdm import tqdm

    with tqdm(unit=unit, disable=options.json or not sys.stderr.isatty(), leave=False) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m intelligence", description="Type a prompt, get the picture.")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run: Callable[[argparse.Namespace], Answer], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("--json", action="store_true", help="print JSON")
        added.set_defaults(run=run)
        return added

    generate = command("generate", _generate, "Make a picture from a prompt.")
    recommend = command("recommend", _recommend, "Show what would be chosen for a prompt.")
    for choosing in (generate, recommend):
        _add_choices(choosing)
    _add_settings(generate)

    plan = command("plan", _plan, "Show how SDXL would be fitted onto this machine, or onto a card of another size.")
    plan.add_argument("--vram", type=float, metavar="GIB", help="a card with so much memory (default: this machine)")
    plan.add_argument("--size", metavar="WxH", default="1024x1024")
    plan.add_argument("--batch", type=int, default=1, help="images of one run")
    plan.add_argument("--steps", type=int, default=20)
    plan.add_argument("--no-cfg", action="store_true", help="without a negative prompt, as distilled models sample")
    plan.add_argument("--strategy", default="AUTO", type=str.upper, choices=list(OffloadStrategy))
    plan.add_argument(
        "--tile", type=int, metavar="PIXELS", help="side of a VAE tile, 0: decode whole (default: chosen)"
    )

    scan = command("scan", _scan, "Read folders of models into the registry.")
    scan.add_argument("folders", nargs="+", metavar="FOLDER")
    scan.add_argument("--kind", default="lora", choices=_KINDS)

    search = command("search", _search, "Find models in the registry.")
    search.add_argument("text", nargs="?", default="")
    search.add_argument("--limit", type=int, default=50)

    verify = command("verify", _verify, "Read models again, whole, and compare them with what is on record.")
    verify.add_argument("name", nargs="?", help="one model; all without it")
    verify.add_argument("--hash", action="store_true", help="first hash what no sidecar or hub told the hash of")

    get = command("get", _get, "Download a model from CivitAI or Hugging Face and register it.")
    get.add_argument("reference", metavar="URL-or-id", help="an address, civitai:ID, or owner/repository[/file]")
    get.add_argument("--kind", default="lora", choices=_KINDS, help="of a Hugging Face file (default: %(default)s)")
    get.add_argument("--folder", help="where to put it (default: downloads in the data folder)")
    get.add_argument("--token", help="of your account, where the model needs one")

    cleanup = command("cleanup", _cleanup, "Show, or with --delete remove, the files that get downloaded.")
    cleanup.add_argument("--keep", type=int, default=0, metavar="N", help="keep the N most recently used")
    cleanup.add_argument("--max-size", type=float, metavar="GIB", help="keep the most recently used, up to this size")
    cleanup.add_argument("--delete", action="store_true", help="remove them (default: only show them)")

    command("enrich", _enrich, "Ask CivitAI what it knows of your models. Only their hashes are sent.")

    feedback = command("feedback", _feedback, "Rate a generation with 1 to 5 stars.")
    feedback.add_argument("id", help="the id that generate printed")
    feedback.add_argument("rating", type=int)
    feedback.add_argument("comments", nargs="?", default="")

    show = command("show", _show, "Show a stored generation (by id) or a model (by name).")
    show.add_argument("name")
    return parser


def _add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt")
    parser.add_argument(
        "--base-model",
        default=DEFAULT_BASE_MODEL,
        help="a Hugging Face id, a diffusers folder, a .safetensors checkpoint, or embedded (default: %(default)s)",
    )
    parser.add_argument(
        "--model-family", metavar="FAMILY", help="what kind of model it is, such as pony (default: told from it)"
    )
    parser.add_argument("--allow-downloads", action="store_true", help="fetch a missing base model from the hub")
    parser.add_argument("--mode", default="AUTO", type=str.upper, choices=["AUTO", "MANUAL"])
    parser.add_argument("--priority", default="BALANCED", type=str.upper, choices=list(Priority))
    parser.add_argument("--max-time", type=float, metavar="SECONDS")
    parser.add_argument("--max-vram", type=float, metavar="GIB")
    parser.add_argument("--max-loras", type=int, default=LoRAPreferences.max_loras)
    parser.add_argument("--min-confidence", type=float, default=LoRAPreferences.min_confidence)
    parser.add_argument("--mix-styles", action="store_true", help="allow LoRAs of several styles together")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--negative", default="", help="what the picture should not show")
    parser.add_argument("--seed", type=int, help="0 to 2**64 - 1 (default: random)")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--cfg", type=float)
    parser.add_argument("--sampler", help="ComfyUI's name")
    parser.add_argument("--scheduler", help="ComfyUI's name")
    parser.add_argument("--size", metavar="WxH", help="such as 1024x1024")
    parser.add_argument("--aspect", help="such as portrait or 16:9")
    parser.add_argument("--lora", action="append", metavar="NAME", help="apply this LoRA instead of choosing")
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--vary", default="SEED_VARIATION", type=str.upper, choices=list(VariationStrategy))
    parser.add_argument(
        "--scout", type=int, default=0, metavar="N", help="try N seeds for a quarter of the steps and ask"
    )
    parser.add_argument("--parallel", action="store_true", help="sample several images in one forward batch")
    parser.add_argument("--out", default="image.png", help=".png, .webp or .jpg (default: %(default)s)")


if __name__ == "__main__":
    sys.exit(main())
