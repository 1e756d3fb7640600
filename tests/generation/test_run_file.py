"""Run files: read, written, overridden, described by a JSON Schema, and refused with the place of the mistake."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from intelligence import BatchConfig, InvalidInputError, OperationMode, PipelineConfig, Priority
from intelligence.generation import run_file
from intelligence.generation.run_file import Run, RunFile, RunSettings, run_schema

pytestmark = pytest.mark.unit

README = Path(__file__).parents[2] / "README.md"
SCHEMA = Path(run_file.__file__).with_name("run.schema.json")

WHOLE = RunFile(
    base_model="embedded",
    mode=OperationMode.MANUAL,
    model_family="pony",
    run=Run(
        'a "red" fox\nin the snow, año',
        "blurry",
        seed=0,
        out="fox-%seed%.png",
        settings=RunSettings(num_steps=7, guidance_scale=4.5, loras={"Ink Wash": -0.5}),
        batch=BatchConfig(2, base_seed=2**63),
    ),
)

BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"base_modl": "embedded"}, "base_modl is unknown; did you mean 'base_model'?"),
    ({"base_model": ""}, "base_model must have at least 1 character"),
    ({"base_model": 3}, "base_model must be a valid string, got 3"),
    ({"mode": "FULL"}, "mode must be 'AUTO', 'ASSISTED' or 'MANUAL', got 'FULL'"),
    ({"constraints": {"max_time_seconds": 0}}, "constraints.max_time_seconds must be greater than 0, got 0"),
    ({"constraints": {"max_time": 9}}, "constraints.max_time is unknown; did you mean 'max_time_seconds'?"),
    ({"constraints": {"priority": "FAST"}}, "constraints.priority must be 'SPEED', 'BALANCED' or 'QUALITY'"),
    ({"lora_preferences": {"min_confidence": 1.5}}, "lora_preferences.min_confidence must be less than or equal to 1"),
    ({"lora_preferences": {"max_loras": -1}}, "lora_preferences.max_loras must be greater than or equal to 0"),
    ({"lora_preferences": {"max_loras": "3"}}, "lora_preferences.max_loras must be a valid integer, got '3'"),
    ({"memory_settings": {"exact_weights": 1}}, "memory_settings.exact_weights must be a valid boolean, got 1"),
    ({"ollama_config": {"base_url": "ftp://a"}}, "ollama_config.base_url must match pattern '^https?://'"),
    ({"run": {"promt": "a fox"}}, "run.promt is unknown; did you mean 'prompt'?"),
    ({"run": {"seed": -1}}, "run.seed must be greater than or equal to 0, got -1"),
    ({"run": {"best_of": 65}}, "run.best_of must be less than or equal to 64, got 65"),
    ({"run": {"best_off": 4}}, "run.best_off is unknown; did you mean 'best_of'?"),
    ({"run": {"settings": {"num_steps": 0}}}, "run.settings.num_steps must be greater than or equal to 1, got 0"),
    ({"run": {"settings": {"width": 1001}}}, "run.settings.width must be a multiple of 8, got 1001"),
    ({"run": {"settings": {"steps": 20}}}, "run.settings.steps is unknown; did you mean 'num_steps'?"),
    ({"run": {"settings": {"clip_skip": 2}}}, "run.settings.clip_skip must be less than or equal to -1, got 2"),
    ({"run": {"batch": {"num_images": 0}}}, "run.batch.num_images must be greater than or equal to 1, got 0"),
    ({"run": {"batch": {"variation_strategy": "ALL"}}}, "run.batch.variation_strategy must be 'SEED_VARIATION'"),
    ({"run": {"settings": {"loras": {"Ink": 11}}}}, "run.settings.loras.Ink must be less than or equal to 10, got 11"),
    ({"run": {"settings": {"loras": "Ink"}}}, "run.settings.loras must be a valid dictionary, got 'Ink'"),
]


@pytest.mark.parametrize("ending", ["toml", "json"])
def test_what_is_written_is_read_again(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"run.{ending}"
    WHOLE.to_file(path)
    assert RunFile.from_file(path) == WHOLE
    assert PipelineConfig.from_file(path) == WHOLE.config


@pytest.mark.parametrize(("content", "said"), BROKEN)
def test_mistake_is_named_with_its_place(tmp_path: Path, content: dict[str, Any], said: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidInputError) as caught:
        RunFile.from_file(path)
    assert str(caught.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("run.toml", "base_model = ", "not TOML"),
        ("run.json", "{", "not JSON"),
        ("run.json", "[]", "must hold an object of settings, got list"),
        ("run.yaml", "", "settings are read from .toml and .json files"),
    ],
)
def test_unreadable_file_is_told(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInputError, match=said):
        RunFile.from_file(tmp_path / name)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be read"):
        PipelineConfig.from_file(tmp_path / "run.toml")


def test_published_schema_is_that_of_the_records() -> None:
    assert json.loads(SCHEMA.read_text()) == run_schema()


def test_schema_takes_and_refuses_what_the_reader_does() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(run_schema())
    validator.check_schema(run_schema())
    files = readme_samples()
    assert files
    for text in files:
        content = tomllib.loads(text)
        validator.validate(content)
    assert [content for content, _ in BROKEN if validator.is_valid(content)] == []


@pytest.mark.parametrize("number", range(1))
def test_sample_of_the_readme_is_a_run_file(tmp_path: Path, number: int) -> None:
    path = tmp_path / "run.toml"
    path.write_text(readme_samples()[number])
    assert RunFile.from_file(path).run.prompt


def readme_samples() -> list[str]:
    """Return the TOML samples of the README."""
    return [block.partition("```")[0] for block in README.read_text().split("```toml\n")[1:]]


def test_override_wins_and_is_told_where_the_file_said_otherwise() -> None:
    declared = RunFile(run=Run("a fox", seed=3, settings=RunSettings(num_steps=20)))
    told = declared.override(
        {"run.seed": 0, "run.settings.num_steps": 20, "constraints.priority": "SPEED", "run.batch.num_images": 2}
    )
    assert told == ["run.seed: 0 instead of 3"]
    assert declared.constraints.priority is Priority.SPEED
    assert declared.run.batch == BatchConfig(2)
    assert declared.run.settings.overrides() == {"num_steps": 20}
