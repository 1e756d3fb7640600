"""Databases, pictures, records and workflows of earlier versions, opened by today's code."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from intelligence import (
    Architecture,
    Generation,
    GenerationPlan,
    LearningEngine,
    MemoryManager,
    ModelEvidence,
    ModelRegistry,
    ParameterOptimizer,
    PromptAnalysis,
    PromptAnalyzer,
    Recommendations,
)
from intelligence.config import user_settings
from intelligence.generation.execution import job_store
from intelligence.generation.execution.job_store import JobStore
from intelligence.generation.explanation import explain
from intelligence.generation.picture_graph import picture_graph
from intelligence.generation.picture_history import picture_of, picture_record, rated_id
from intelligence.history import history_store
from intelligence.history.own_pictures import PictureHistory
from intelligence.learning import learning_schema
from intelligence.learning.observations import Applied, LoRATraits, PromptTraits
from intelligence.learning.signals import Evidence
from intelligence.memory import corrections
from intelligence.memory.corrections import Corrections
from intelligence.registry import schema, user_corrections

from .comfyui.loras import UNUSABLE

OLD = Path(__file__).parent / "fixtures" / "v0.1.0"
SERVERS = OLD.parent / "v0.1.0-servers"
SCHEMAS = Path(__file__).parent / "tools" / "node_schemas.py"
RECORDS = {"Generation": Generation, "GenerationPlan": GenerationPlan, "PromptAnalysis": PromptAnalysis}
RECORDS |= {"Recommendations": Recommendations}
MIGRATIONS = {
    "learning.db": learning_schema.MIGRATIONS,
    "registry.db": schema.MIGRATIONS,
    "memory.db": corrections.MIGRATIONS,
    "corrections.db": user_corrections.MIGRATIONS,
    "history.db": history_store.MIGRATIONS,
    "jobs.db": job_store.MIGRATIONS,
}
PICTURES = ("saved.png", "saved.webp", "saved.jpg")
WORKFLOWS = ("Auto text to image", "Suggestions only")

SDXL = ModelEvidence(name="sd_xl_base_1.0.safetensors", architecture=Architecture.SDXL)

RENAMED = {
    "what": "setting",
    "better": "next_faster",
    "smaller": "next_smaller",
    "comfort": "reserved_gb",
    "together": "max_batch",
    "asked_strategy": "requested_strategy",
    "asked_tile": "requested_tile",
}
"""Keys of 0.1.0 → the same value's key today."""
REMOVED = {"complexity_parts", "embeddings", "emphasis", "quality_level"}
"""Keys of 0.1.0 that nothing reads any more."""


def load(name: str) -> Any:
    return json.loads((OLD / name).read_text(encoding="utf-8"))


def lost(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Places of `old` whose value is not the same in `new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            key = key if key in new else RENAMED.get(key, key)
            if key in new:
                yield from lost(value, new[key], f"{place}.{key}")
            elif key not in REMOVED:
                yield f"{place}.{key} is gone"
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from lost(*pair, f"{place}.{index}")
    elif old != new:
        yield f"{place}: {old!r} became {new!r}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder of 0.1.0, to be opened and changed."""
    return Path(shutil.copytree(OLD, tmp_path / "home"))


def test_settings_keep_every_value(home: Path) -> None:
    settings = user_settings(home)
    assert (settings.ollama.base_url, settings.ollama.model) == ("http://127.0.0.1:11434", "qwen3.5:4b")
    assert (settings.allowed_hosts, settings.hash_megabytes_per_second) == (("studio.local",), 0)


@pytest.mark.parametrize("name", RECORDS)
def test_record_keeps_every_value(name: str) -> None:
    assert list(lost(load(f"{name}.json"), RECORDS[name].from_dict(load(f"{name}.json")).to_dict())) == []


@pytest.mark.parametrize("name", PICTURES)
def test_record_beside_picture_restores_generation(name: str) -> None:
    saved = load(f"{name}.json")
    extra = {"image_id", "image_index", "seed"}
    read = Generation.from_dict(saved).to_dict()
    assert list(lost({key: value for key, value in saved.items() if key not in extra}, read)) == []


def test_png_restores_recommendations() -> None:
    generation = Generation.from_dict(json.loads(Image.open(OLD / "saved.png").text["intelligent_generation"]))
    recommendations = generation.plan.recommendations
    assert recommendations.prompt_analysis.prompt == "portrait of the mirkwood witch, (misty forest:1.2)"
    assert recommendations.negative_prompt.startswith("blurry, low quality")
    assert [(lora.lora_name, lora.suggested_alpha) for lora in recommendations.suggested_loras] == [
        ("mirkwood_witch", 0.8)
    ]
    parameters = generation.plan.parameters
    assert (parameters.num_steps, parameters.width, parameters.height, generation.seeds) == (2, 64, 64, (7,))
    assert all(reason.setting and reason.evidence for reason in parameters.reasons)


@pytest.mark.parametrize("name", ["saved.webp", "saved.jpg"])
def test_exif_keeps_prompt_and_workflow(name: str) -> None:
    exif = Image.open(OLD / name).getexif()
    comment = exif.get_ifd(0x8769)[0x9286]
    assert comment.removeprefix(b"UNICODE\0").decode("utf-16-be").startswith("portrait of the mirkwood witch")
    assert json.loads(exif[0x0110].removeprefix("prompt:")).keys() == load("Auto text to image (API).json").keys()
    assert json.loads(exif[0x010F].removeprefix("workflow:")) == load("Auto text to image.json")


def test_learning_keeps_ratings_and_comments(home: Path) -> None:
    learning = LearningEngine(home / "learning.db")
    stored = learning.list_generations()
    rated = [(one.rating, one.comments) for item in reversed(stored) for one in learning.ratings(item.generation_id)]
    assert rated == [(4, "good hands"), (5, "más brillo, please ✨"), (2, "too dark")]
    for item in stored:
        assert list(lost(item.data, Generation.from_dict(item.data).to_dict())) == []
    ids = ("lora:anime_style_v2.safetensors", "lora:cinematic_photo.safetensors")
    used = [Applied.judged(lora, 0.5) for lora in ids]
    model = learning.preferences().model(lambda lora: LoRATraits(), "library")
    liked, disliked = model.utilities(PromptTraits("girl", "anime"), used).shift
    assert liked > 0 > disliked
    assert learning.revision == 3
    assert [(timing.width, timing.images) for timing in learning.timings("cpu:embedded")] == [(64, 1), (64, 1)]
    learning.record_feedback(stored[0].generation_id, 5, "on a second look")
    learning.close()


def test_registry_keeps_models(home: Path) -> None:
    registry = ModelRegistry(home / "registry.db")
    names = {model.name for model in registry.list_models()}
    assert {"anime_style_v2", "mirkwood_witch", "cinematic_photo", "random_sdxl"} <= names
    witch = registry.get_model("mirkwood_witch")
    assert witch is not None
    assert witch.model_id == "lora:characters/mirkwood_witch.safetensors"
    assert [trigger.words for trigger in witch.trigger_sets] == [("mirkwood witch", "green cloak", "antler crown")]
    registry.close()


def test_memory_keeps_corrections(home: Path) -> None:
    corrections = Corrections(home / "memory.db")
    assert corrections.of("cuda")["sampling"] == pytest.approx(1.2)
    MemoryManager(home / "memory.db").plan(512, 512)


def test_users_families_and_vocabulary_are_used(home: Path) -> None:
    analysis = PromptAnalyzer(vocabulary_path=home / "vocabulary.json").analyze("un zorblo, zorblax girl, zorb_9")
    assert (analysis.intent.artistic_style, analysis.quality_family) == ("anime", "zorbl")
    parameters = ParameterOptimizer(table=home / "families.json").optimize(
        PromptAnalysis.from_dict(load("PromptAnalysis.json")), model=SDXL
    )
    assert (parameters.num_steps, parameters.guidance_scale) == (26, 5.5)


@pytest.fixture(scope="module")
def schemas() -> dict[str, dict[str, list[str]]]:
    """Node id → names of its inputs and outputs today."""
    found: dict[str, dict[str, list[str]]] = json.loads(subprocess.check_output([sys.executable, SCHEMAS], text=True))
    return found


@pytest.mark.parametrize("name", load("nodes.json"))
def test_node_inputs_and_outputs_keep_their_places(schemas: dict[str, dict[str, list[str]]], name: str) -> None:
    """Workflows save widgets and outputs by position: new ones are appended. The page finds inputs by their names."""
    before, today = load("nodes.json")[name], schemas[name]
    widgets = [slot for slot in before["inputs"] if slot in today["widgets"]]
    assert today["widgets"][: len(widgets)] == widgets
    assert set(before["inputs"]) <= set(today["inputs"])
    assert today["outputs"][: len(before["outputs"])] == before["outputs"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_slots_exist(schemas: dict[str, dict[str, list[str]]], name: str) -> None:
    for node in load(f"{name}.json")["nodes"]:
        if node["type"] in schemas:
            today = schemas[node["type"]]
            assert {slot["name"] for slot in node["inputs"]} <= set(today["inputs"])
            assert [slot["name"] for slot in node["outputs"]] == today["outputs"][: len(node["outputs"])]


def test_api_prompt_names_inputs_that_exist(schemas: dict[str, dict[str, list[str]]]) -> None:
    for node in load("Auto text to image (API).json").values():
        if node["class_type"] in schemas:
            assert set(node["inputs"]) <= set(schemas[node["class_type"]]["inputs"])


EARLIER = sorted(folder for folder in OLD.parent.iterdir() if (folder / "saved.png").exists())
"""A folder for each version, and for states of the source between two of them."""


@pytest.mark.parametrize("folder", EARLIER, ids=lambda folder: folder.name)
def test_pictures_of_every_state_are_explained_rated_and_made_again(folder: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(folder, tmp_path / "home"))
    learning = LearningEngine(home / "learning.db")
    stored = learning.list_generations()
    assert [Generation.from_dict(each.data).seeds for each in stored[:2]] == [(7,), (7,)] or folder == OLD
    for picture in (home / "saved.png", home / "saved.webp"):
        record = picture_record(picture)
        assert record is not None
        generation = Generation.from_dict(record)
        parameters = generation.plan.recommendations.suggested_params
        assert (parameters.num_steps, parameters.width, generation.seeds) == (2, 64, (7,))
        assert explain(generation).parameter_reasoning
        graph = picture_graph(picture_of(picture, record))
        assert [node["inputs"]["seed"] for node in graph.values() if "seed" in node["inputs"]] == [7]
        rated = learning.record_feedback(rated_id(picture, learning), 5)
        assert [one.rating for one in learning.ratings(rated.generation_id)][-1] == 5
    learning.close()


STATES = [folder for folder in EARLIER if (folder / "rated.jpg").exists()]


@pytest.mark.parametrize("folder", STATES, ids=lambda folder: folder.name)
def test_jpegs_and_ratings_of_every_state_are_read(folder: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(folder, tmp_path / "home"))
    learning = LearningEngine(home / "rated.db")
    stored = list(reversed(learning.list_generations()))
    rated = [(one.rating, one.comments) for each in stored for one in learning.ratings(each.generation_id)]
    assert rated == [(4, "good hands"), (5, "más brillo, please ✨")]
    corrected = [one.rating for one in learning.rating_history(stored[1].generation_id)]
    assert corrected == [2, 5] or (folder.name == "v0.1.0-first" and corrected == [5])  # it kept the last one alone
    record = picture_record(home / "rated.jpg")
    assert record is not None
    generation = Generation.from_dict(record)
    assert (generation.id, generation.seeds) == (stored[0].generation_id, (7,))
    assert generation.plan.recommendations.negative_prompt.endswith("blurry, grün")
    info = picture_of(home / "rated.jpg", record)
    assert info.prompt.startswith("anime girl with magical powers")
    assert [node["inputs"]["seed"] for node in picture_graph(info).values() if "seed" in node["inputs"]] == [7]
    learning.record_feedback(rated_id(home / "rated.jpg", learning), 1)
    assert [one.rating for one in learning.rating_history(generation.id)] == [4, 1]
    learning.close()


REGISTRIES = sorted(
    path.parent for path in OLD.parent.glob("*/registry.db") if path.parent.name not in ("v0.1.0", "v0.1.0-corrected")
)


@pytest.mark.parametrize("folder", REGISTRIES, ids=lambda folder: folder.name)
def test_registries_of_every_state_keep_models(folder: Path, tmp_path: Path) -> None:
    registry = ModelRegistry(Path(shutil.copy(folder / "registry.db", tmp_path)))
    witch = registry.get_model("mirkwood_witch")
    assert witch.model_id == "lora:characters/mirkwood_witch.safetensors"
    assert [trigger.words for trigger in witch.trigger_sets] == [("mirkwood witch", "green cloak", "antler crown")]
    assert {Path(path).name for path in registry.status().errors} == set(UNUSABLE)
    registry.close()


@pytest.mark.parametrize("name", ["v0.1.0-acts", "v0.1.0-servers"])
def test_acts_beside_stars_are_kept(name: str, tmp_path: Path) -> None:
    learning = LearningEngine(Path(shutil.copy(OLD.parent / name / "rated.db", tmp_path)))
    *_, first, second = [each.generation_id for each in reversed(learning.list_generations())]
    shown = [each for each in learning.signals.shown() if each.kind == Evidence.PICKED]
    assert {each.generation_id for each in shown} == {second} and first != second
    learning.close()


def test_corrections_keep_the_users_word(tmp_path: Path) -> None:
    home = Path(shutil.copytree(OLD.parent / "v0.1.0-corrected", tmp_path / "home"))
    registry = ModelRegistry(home / "registry.db")
    witch = registry.get_model("mirkwood_witch")
    assert (witch.family, witch.lora_kind, witch.strength, witch.favourite) == ("illustrious", "character", 0.7, True)
    assert [trigger.words for trigger in witch.trigger_sets] == [("mirkwood witch",), ("witch", "green cloak")]
    assert registry.get_model("old_sd15_anime").excluded
    registry.correct("mirkwood_witch", strength=0.5)
    assert registry.get_model("mirkwood_witch").strength == 0.5
    registry.close()


def test_history_keeps_own_pictures(tmp_path: Path) -> None:
    history = PictureHistory(Path(shutil.copy(SERVERS / "history.db", tmp_path)))
    status = history.status()
    assert (status.on, status.told, [str(folder) for folder in history.folders]) == (True, 2, ["/srv/pictures"])
    assert {each.settings["seed"] for each in history.pictures()} == {7}
    assert history.forget() == 2
    history.close()


def test_jobs_of_a_batch_stay_made(tmp_path: Path) -> None:
    shutil.copy(SERVERS / "jobs.db", tmp_path)
    store = JobStore(tmp_path)
    assert [(row.file, row.worker) for row in store.pictures()] == [
        ("00000-7-aabc30e3c83f.png", "local"),
        ("00001-8-e5a7ddca0c9b.png", "local"),
    ]
    assert (list(store.planned_lines().values()), store.open_jobs(list(store.planned_lines()))) == ([2], [])
    store.close()


@pytest.mark.parametrize("name", MIGRATIONS)
def test_every_earlier_schema_has_a_file(name: str) -> None:
    """A migration comes with a file of the schema before it."""
    found = set()
    for path in OLD.parent.glob(f"*/{name}"):
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as db:
            found.add(db.execute("PRAGMA user_version").fetchone()[0])
    assert {*range(min(found), len(MIGRATIONS[name]))} <= found


@pytest.mark.parametrize(
    "path",
    [path for folder in STATES for path in sorted((folder / "workflows").glob("*.json"))],
    ids=lambda path: f"{path.parts[-3]}-{path.stem}",
)
def test_workflows_of_every_state_find_their_slots(schemas: dict[str, dict[str, list[str]]], path: Path) -> None:
    ours = [node for node in json.loads(path.read_text(encoding="utf-8"))["nodes"] if node["type"] in schemas]
    assert ours
    for node in ours:
        today = schemas[node["type"]]
        assert {slot["name"] for slot in node["inputs"]} <= set(today["inputs"])
        assert [slot["name"] for slot in node["outputs"]] == today["outputs"][: len(node["outputs"])]
        assert len(node.get("widgets_values") or []) <= len(today["widgets"]) + 1  # and the control behind a seed
