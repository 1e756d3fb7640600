"""Generations in little space: what they share is stored once, old ones lose their reasons, and all of it opens."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from intelligence import Generation
from intelligence.database import Database
from intelligence.errors import UnknownGenerationError
from intelligence.generation.run import store_generation
from intelligence.learning import LearningEngine, generation_rows
from intelligence.learning.learning_schema import FIRST
from intelligence.learning.stored_json import SHARED, pack, shrunk, unpack, without_prompt

OLD = Path(__file__).parents[1] / "fixtures" / "v0.1.0"
RUN = "0b7cd16f-a567-4f30-9836-f73ca8bea9e4"


def made(name: str, prompt: str = "", seed: int = 7) -> dict[str, Any]:
    """A whole generation's JSON, of today's fields, under an id of 32 digits or a short one."""
    data = Generation.from_dict(json.loads((OLD / "Generation.json").read_text(encoding="utf-8"))).to_dict()
    data |= {"id": name, "image_ids": [f"{name}-0"], "seeds": [seed]}
    if prompt:
        data["plan"]["recommendations"]["prompt_analysis"]["prompt"] = prompt
    return data


def record(engine: LearningEngine, name: str, run_id: str = "", **changes: Any) -> dict[str, Any]:
    data = {**made(name, **changes), "run_id": run_id}
    store_generation(Generation.from_dict(data), engine)
    return data


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    with closing(LearningEngine(tmp_path / "learning.db")) as engine:
        yield engine


def rows(engine: LearningEngine, table: str) -> int:
    with engine.database.read() as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_generation_is_read_as_it_was_stored(engine: LearningEngine) -> None:
    data = record(engine, "a" * 32, RUN)
    assert engine.get_generation("a" * 32).data == data
    engine.complete_generation("a" * 32, {**data, "host": "elsewhere"})
    assert engine.get_generation("a" * 32).data == {**data, "host": "elsewhere"}


def test_same_prompt_and_settings_are_stored_once(engine: LearningEngine) -> None:
    for seed in range(20):
        record(engine, f"{seed:032x}", seed=seed)
    assert 1 <= rows(engine, "parts") <= len(SHARED) + 1
    assert [stored.data["seeds"] for stored in engine.list_generations(3)] == [[19], [18], [17]]


def test_forgotten_generation_leaves_no_part(engine: LearningEngine) -> None:
    first, second = record(engine, "1" * 32), record(engine, "2" * 32, prompt="Another  prompt")
    engine.record_feedback("1" * 32, 4)
    assert engine.forget_prompt("another PROMPT") == 1
    assert engine.get_generation("1" * 32).data == first
    with pytest.raises(UnknownGenerationError):
        engine.get_generation("2" * 32)
    assert engine.forget_generation("1" * 32) == 1
    assert [rows(engine, name) for name in ("generations", "parts", "ratings", "rating_history")] == [0, 0, 0, 0]
    assert engine.forget_prompt(second["plan"]["recommendations"]["prompt_analysis"]["prompt"]) == 0


def test_old_generations_keep_the_recipe(engine: LearningEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation_rows, "DETAILED", 2)
    data = record(engine, "old-one")
    engine.record_feedback("old-one", 5)
    for number in range(4):
        record(engine, f"new-{number}")
    kept = engine.get_generation("old-one")
    assert kept.data == {**shrunk(data), "run_id": ""}
    generation, before = Generation.from_dict(kept.data), Generation.from_dict(data)
    assert generation.plan.parameters.num_steps == before.plan.parameters.num_steps
    assert generation.plan.recommendations.prompt == before.plan.recommendations.prompt
    assert [lora.suggested_alpha for lora in generation.plan.loras] == [0.6, 0.8]
    assert not generation.plan.parameters.reasons
    assert engine.get_generation("new-3").data == {**made("new-3")}
    assert [one.rating for one in engine.ratings("old-one")] == [5]
    assert kept.loras == tuple(lora.lora_metadata.model_id for lora in before.plan.loras)


def test_run_stands_for_its_generations(engine: LearningEngine) -> None:
    for name in ("1" * 32, "2" * 32):
        record(engine, name, RUN)
    record(engine, "3" * 32, "another run")
    engine.record_feedback(RUN, 4)
    assert [(one.target_id[0], one.rating) for one in engine.ratings(RUN)] == [("1", 4), ("2", 4)]
    assert engine.remove_feedback("another run") is False
    assert engine.remove_feedback(RUN) is True
    assert engine.ratings(RUN) == []


def test_history_keeps_corrections_and_what_was_taken_back(engine: LearningEngine) -> None:
    record(engine, "g")
    for rating, comment in ((3, ""), (5, ""), (5, "on a second look")):
        engine.record_feedback("g-0", rating, comment)
    engine.remove_feedback("g")
    assert [(one.rating, one.comments) for one in engine.rating_history("g-0")] == [
        (3, ""),
        (5, ""),
        (5, "on a second look"),
        (0, ""),
    ]
    assert engine.rating_history("g") == engine.rating_history("g-0")


def test_paused_learning_stores_and_does_not_count(engine: LearningEngine) -> None:
    record(engine, "g")
    engine.paused = True
    engine.record_feedback("g", 5)
    assert (engine.rated_pictures(), len(engine.ratings("g"))) == ([], 1)
    engine.paused = False
    (picture,) = engine.rated_pictures()
    assert (picture.rating, picture.image, picture.images, picture.weight) == (5, 0, 1, 1.0)


def test_no_word_of_a_prompt_is_left(engine: LearningEngine, tmp_path: Path) -> None:
    """Neither of those stored before the switch nor of later ones, in no page of the file."""
    words = ("zorblax", "quuxberry")
    record(engine, "before", prompt=f"{words[0]} in the mist")
    engine.keep_prompts = False
    record(engine, "after", prompt=f"a {words[1]}")
    engine.complete_generation("after", made("after", prompt=f"{words[1]} again"))
    for name in ("before", "after"):
        stored = engine.get_generation(name)
        assert Generation.from_dict(stored.data).plan.recommendations.prompt_analysis.prompt == ""
        assert (stored.concepts, len(stored.loras)) == ((), 2)
        assert not any(word in json.dumps(stored.data) for word in words)
    packed = [body for (body,) in sqlite3.connect(tmp_path / "learning.db").execute("SELECT body FROM parts")]
    assert not any(word in json.dumps(unpack(body)) for word in words for body in packed)
    engine.keep_prompts = True
    record(engine, "later", prompt="a lake")
    assert "a lake" in json.dumps(engine.get_generation("later").data)


@pytest.mark.parametrize("value", [{}, [], "x", {"a": [1, None, "é\ud800"]}, {"@facts": 1}])
def test_packed_json_is_read_back(value: Any) -> None:
    assert unpack(pack(value)) == value


def test_packed_json_refuses_other_bytes() -> None:
    for body in (b"", b"{}", os.urandom(50)):
        with pytest.raises(ValueError):
            unpack(body)


def test_shrunk_record_is_a_record() -> None:
    data = made("g")
    assert (
        Generation.from_dict(shrunk(data)).plan.parameters.width
        == data["plan"]["recommendations"]["suggested_params"]["width"]
    )
    assert Generation.from_dict(without_prompt(data)).plan.recommendations.prompt == ""
    empty = {"plan": {"recommendations": {"prompt_analysis": {"prompt": ""}, "suggested_loras": []}}}
    assert shrunk(empty) == empty


def test_database_of_version_3_is_moved_whole(tmp_path: Path) -> None:
    path, data = tmp_path / "learning.db", made("1" * 32)
    with closing(Database(path, FIRST)) as old, old.transaction() as db:
        rows = [("1" * 32, json.dumps(data), '["lora:a"]', '["cat"]', "[0.5]"), ("g", "{}", "[]", "[]", "[]")]
        for name, *rest in rows:
            db.execute(
                "INSERT INTO generations VALUES (?, '2026-01-02T03:04:05.678901+00:00', 'run', ?, ?, ?, ?)",
                (name, *rest),
            )
            for place in range(2):
                db.execute(
                    "INSERT INTO images VALUES (?, ?, ?)", (f"{name}-{place}" if place else f"own {name}", name, place)
                )
        db.execute("INSERT INTO feedback VALUES ('own g', 'g', 4, 'é', '2026-02-01T00:00:00+00:00')")
        db.execute("INSERT INTO feedback VALUES ('g', 'g', 2, '', '2026-01-31T00:00:00+00:00')")
        db.execute("UPDATE decisions SET revision = 9")
    with closing(LearningEngine(path)) as engine:
        stored = engine.get_generation("own " + "1" * 32)
        assert (stored.data, stored.loras, stored.concepts, stored.strengths) == (data, ("lora:a",), ("cat",), (0.5,))
        assert (stored.created_at, stored.run_id) == ("2026-01-02T03:04:05.679+00:00", "run")
        assert [(one.target_id, one.rating, one.comments) for one in engine.ratings("g")] == [
            ("g", 2, ""),
            ("own g", 4, "é"),
        ]
        assert engine.revision == 9
        with engine.database.read() as db:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert not tables & {"generations_3", "feedback_3", "images"}
