"""Declared runs: a configuration with prompt, seed, settings and batch, as a file that makes the same again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from pathlib import Path
from typing import Annotated, Any

from ..config import (
    AUTO,
    MAX_LORA_STRENGTH,
    MAX_SEED,
    BatchConfig,
    GenerationConstraints,
    PipelineConfig,
    SecondPassUse,
    Settings,
    require,
    usual_preferences,
)
from ..errors import InvalidInputError
from ..lora.lora_messages import LoRAMessage
from ..parameters.parameters import MAX_CFG, MAX_SHIFT, MAX_SIDE, MAX_STEPS, MIN_SIDE, SIZE_MULTIPLE
from ..parameters.second_pass import with_second_pass
from ..settings_files import is_settings_file
from ..validation import adapter, bounds
from .image_file import own_record
from .picture_history import picture_record
from .scouting import MAX_SEEDS
from .stages import Generation, Recommendations

Strength = Annotated[float, bounds(ge=-MAX_LORA_STRENGTH, le=MAX_LORA_STRENGTH)]
Side = Annotated[int, bounds(ge=MIN_SIDE, le=MAX_SIDE, multiple_of=SIZE_MULTIPLE)]


@dataclass
class RunSettings(Settings):
    """Settings that win over every choice; None: chosen."""

    num_steps: Annotated[int, bounds(ge=1, le=MAX_STEPS)] | None = None
    guidance_scale: Annotated[float, bounds(ge=0, le=MAX_CFG)] | None = None
    width: Side | None = None
    """Pixels, a multiple of 8."""
    height: Side | None = None
    aspect: str = AUTO
    """`portrait`, `16:9` …"""
    sampler_name: str | None = None
    """ComfyUI's name."""
    scheduler: str | None = None
    """ComfyUI's name."""
    clip_skip: Annotated[int, bounds(ge=-12, le=-1)] | None = None
    guidance: Annotated[float, bounds(ge=0, le=MAX_CFG)] | None = None
    """Guidance value of models that read one, such as Flux."""
    shift: Annotated[float, bounds(gt=0, le=MAX_SHIFT)] | None = None
    second_pass: SecondPassUse | None = None
    """Use of a second pass, in which the picture is enlarged and sampled again."""
    upscaler: Annotated[str, bounds(min_length=1)] | None = None
    """Enlarges for the second pass: `latent`, `auto`, or the file of an upscale model of the library."""
    loras: dict[str, Strength] | None = None
    """Apply these instead of choosing: name → strength."""

    def overrides(self) -> dict[str, Any]:
        """Return what is set, as `IntelligentGenerationPipeline.generate` takes it."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in given.items() if value not in (None, AUTO)}


@dataclass
class Run(Settings):
    """A picture, or a batch of them."""

    prompt: str = ""
    negative_prompt: str = ""
    seed: Annotated[int, bounds(ge=0, le=MAX_SEED)] | None = None
    """None: random."""
    out: str = "image.png"
    """Name of the picture: .png, .webp or .jpg; `%seed%` and the like are filled in."""
    best_of: Annotated[int, bounds(ge=1, le=MAX_SEEDS)] = 1
    """Begin so many, and finish the one that you will like best by your ratings; `batch` says how they vary."""
    settings: RunSettings = field(default_factory=RunSettings)
    batch: BatchConfig | None = None
    """None: one picture."""


@dataclass
class RunFile(PipelineConfig):
    """A whole run: configuration, and what is made with it."""

    run: Run = field(default_factory=Run)

    @property
    def config(self) -> PipelineConfig:
        """The configuration alone."""
        return PipelineConfig(**{each.name: getattr(self, each.name) for each in fields(PipelineConfig)})

    @classmethod
    def read(cls, path: str | Path) -> tuple[RunFile, Recommendations | None]:
        """Read a run: a .toml or .json file, or a picture that the pack saved, or the JSON beside one.

        Of a picture the choice is returned too, with which it is made again: its LoRAs and settings as they were.

        Raises InvalidInputError where the file is none of these.
        """
        path = Path(path)
        record = own_record(path)
        if record is None and is_settings_file(path):
            return cls.from_file(path), None
        record = record or picture_record(path)
        if record is None:
            raise InvalidInputError(f"{path} was not made by Intelligent Generation: it cannot be made again from it")
        generation = Generation.from_dict(record)
        chosen, seed = generation.plan.recommendations, record.get("seed")
        tags = {LoRAMessage.QUALITY_TAGS_BEFORE.key, LoRAMessage.QUALITY_TAGS_AFTER.key, LoRAMessage.NEGATIVE_TAGS.key}
        analysis = chosen.prompt_analysis
        run = Run(analysis.prompt, analysis.negative_prompt, generation.seeds[0] if seed is None else seed)
        run_file = cls(
            base_model=generation.base_model_id,
            mode=chosen.mode,
            quality_tags=any(reason.message in tags for reason in chosen.reasons),
            run=run,
        )
        return run_file, chosen

    def override(self, given: Mapping[str, Any]) -> list[str]:
        """Set what was given elsewhere, by dotted names (`run.settings.num_steps`).

        Returns a sentence for each value that a file had set otherwise. Raises InvalidInputError.
        """
        told = []
        if self.run.batch is None and any(place.startswith("run.batch.") for place in given):
            self.run.batch = BatchConfig(given.get("run.batch.num_images", 1))
        for place, value in given.items():
            *parents, name = place.split(".")
            record = reduce(getattr, parents, self)
            before, default = getattr(record, name), getattr(type(record)(), name)
            setattr(record, name, value)
            if before not in (default, getattr(record, name)):
                told.append(f"{place}: {getattr(record, name)} instead of {before}")
        return told


def changed_choice(chosen: Recommendations, run_file: RunFile) -> Recommendations:
    """Return a picture's choice with the settings of `run_file` in place of its own.

    Raises InvalidInputError for what only a new choice could heed.
    """
    given, limits = run_file.run.settings.overrides(), (run_file.constraints, run_file.lora_preferences)
    chooses = {"loras", "aspect"} & given.keys() or limits != (GenerationConstraints(), usual_preferences())
    require(
        not chooses and run_file.run.batch is None and run_file.run.best_of == 1,
        "a picture is made again with its own LoRAs, shape and limits, once: only its prompts, its seed, and settings "
        "such as steps and cfg can be changed; for more, give its prompt without the picture",
    )
    if not given:
        return chosen
    before = chosen.suggested_params
    if {"num_steps", "scheduler"} & given.keys():
        before = replace(before, sigmas=None, schedule=None)
    use, upscaler = SecondPassUse(given.pop("second_pass", SecondPassUse.AUTO)), given.pop("upscaler", AUTO)
    settings = with_second_pass(replace(before, **given), use, upscaler)
    return replace(chosen, suggested_params=settings)


def run_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of run files, TOML and JSON alike."""
    schema = adapter(RunFile).json_schema()
    schema["properties"]["$schema"] = {"type": "string"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Intelligent Generation run"}
