"""Commands about the models on this machine, and those of the hubs."""

from __future__ import annotations

import argparse

from ..errors import InvalidInputError
from ..given_files import is_folder
from ..hubs import CivitAI, HuggingFace
from ..hubs.references import reference
from ..models import ModelKind, ModelMetadata
from ..registry import ModelRegistry, newer_versions
from ..registry import enrich as enrich_registry
from .terminal import Answer, progress


def scan(options: argparse.Namespace) -> Answer:
    for folder in options.folders:
        if not is_folder(folder):
            raise InvalidInputError(f"{folder} is no folder")
    registry = ModelRegistry()
    with progress(options, "file") as step:
        found = registry.scan({ModelKind(options.kind): options.folders}, step)
    lines = [f"{found.added} added, {found.changed} changed, {found.removed} removed, {found.unchanged} unchanged"]
    lines += [f"  {path}: {reason}" for path, reason in found.problems.items()]
    if not any((found.added, found.changed, found.removed, found.unchanged, found.problems)):
        lines.append("no model file is in there")
    return found.to_dict(), "\n".join(lines)


def search(options: argparse.Namespace) -> Answer:
    if options.hub:
        hub = CivitAI() if options.hub == "civitai" else HuggingFace()
        with progress(options, "model", "asking the hub"):
            page = hub.search(options.text, limit=options.limit)
        lines = [f"{reference(model)}  {model.title}  {model.base_model or ''}".rstrip() for model in page.models]
        return [model.to_dict() for model in page.models], "\n".join(lines) or "nothing found"
    models = ModelRegistry().search(options.text, limit=options.limit)
    return [model.to_dict() for model in models], "\n".join(map(_line, models)) or "nothing found"


def verify(options: argparse.Namespace) -> Answer:
    registry = ModelRegistry()
    if options.hash:
        with progress(options, "file") as step:
            registry.hash_models(step)
    wrong = registry.verify(options.name)
    lines = [f"{model}: {reason}" for model, reason in wrong.items()]
    return wrong, "\n".join(lines) or "nothing wrong"


def get(options: argparse.Namespace) -> Answer:
    with progress(options, "B", "asking the hub") as step:
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
    with progress(options, "model", "asking CivitAI") as step:
        found = newer_versions(ModelRegistry(), CivitAI(), lambda done, total: step(done, total or done))
    lines = [f"{each.model_id}: {each.title} {each.version_name}  get {each.reference}" for each in found.newer]
    return found.to_dict(), "\n".join([*lines, f"{found.asked} models asked about, {len(found.newer)} have newer ones"])


def enrich(options: argparse.Namespace) -> Answer:
    registry = ModelRegistry()
    with progress(options, "file", "hashing") as step:
        registry.hash_models(step)
    with progress(options, "hash", "asking CivitAI") as step:
        found = enrich_registry(registry, CivitAI(), lambda done, total: step(done, total or done))
    return found.to_dict(), f"{found.asked} hashes asked about, {len(found.updated)} models known there"


def _line(model: ModelMetadata) -> str:
    return f"{model.name}  {model.architecture.value}/{model.family.value}  {model.local_path}"
