"""Ratings are stored durably, counted once, and read back."""

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from intelligence.database import Database
from intelligence.errors import InvalidInputError, StorageError, UnknownGenerationError
from intelligence.learning import Feedback, LearningEngine, StoredGeneration, Timing
from intelligence.learning.learning_schema import MIGRATIONS
from tests.benchmarks.kill import rating_kills

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def engine(tmp_path):
    engine = LearningEngine(tmp_path / "data" / "learning.db")
    yield engine
    engine.close()


@pytest.fixture
def rated(engine):
    """One generation of two images, one of one."""
    engine.record_generation("g", ["g-0", "g-1"], {"seed": 0}, loras=["lora:a"], concepts=["cat"], run_id="run")
    engine.record_generation("single", ["single-0"], {}, loras=["lora:b"])
    return engine


def test_get_generation_takes_either_id(rated):
    stored = rated.get_generation("g")
    assert (stored.image_ids, stored.data, stored.loras) == (("g-0", "g-1"), {"seed": 0}, ("lora:a",))
    assert (stored.concepts, stored.run_id) == (("cat",), "run")
    assert rated.get_generation("g-1") == stored
    assert StoredGeneration.from_json(stored.to_json()) == stored


def test_list_generations_newest_first(rated):
    assert [stored.generation_id for stored in rated.list_generations()] == ["single", "g"]
    assert [stored.generation_id for stored in rated.list_generations(1)] == ["single"]


@pytest.mark.parametrize("limit", [0, -1, 10**20, True])
def test_list_generations_refuses(rated, limit):
    for listed in (rated.list_generations, rated.signals.shown):
        with pytest.raises(InvalidInputError, match="limit must be an integer from 1 to 1000000"):
            listed(limit)


def test_numbers_that_no_act_has(rated):
    assert rated.signals.drop([0, -1, 1, 10**20]) == 0


def test_record_generation_twice_changes_nothing(rated):
    rated.record_generation("g", ["other"], {"seed": 5})
    assert rated.get_generation("g").data == {"seed": 0}
    with pytest.raises(UnknownGenerationError):
        rated.get_generation("other")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("", ["x"], {}), "id"),
        (("x" * 201, ["x"], {}), "id"),
        (("x", [], {}), "image_ids"),
        (("x", ["y", "y"], {}), "differ"),
        (("x", ["g-0"], {}), "another generation"),
        (("x", ["y"], {"cfg": float("nan")}), "JSON"),
        (("x", ["y"], {"image": object()}), "JSON"),
        (("\ud800", ["y"], {}), "id"),
    ],
)
def test_record_generation_refuses_wrong_arguments_whole(rated, arguments, text):
    with pytest.raises(InvalidInputError, match=text):
        rated.record_generation(*arguments)
    assert len(rated.list_generations()) == 2


@pytest.mark.parametrize("rating", [1, 2, 3, 4, 5])
def test_rating_survives_restart(rated, rating):
    feedback = rated.record_feedback("g-1", rating, "Perfect! Exactly what I wanted ✨")
    rated.close()
    assert rated.ratings("g-1") == [feedback]
    assert (feedback.target_id, feedback.generation_id, feedback.rating) == ("g-1", "g", rating)
    assert Feedback.from_json(feedback.to_json()) == feedback


@pytest.mark.parametrize("rating", [0, 6, -1, True, 4.0, "5", float("nan"), None, 10**30])
def test_record_feedback_refuses_wrong_rating(rated, rating):
    rated.record_feedback("g-0", 4)
    with pytest.raises(InvalidInputError, match="rating must be an integer from 1 to 5"):
        rated.record_feedback("g-0", rating)
    assert [feedback.rating for feedback in rated.ratings("g")] == [4]


@pytest.mark.parametrize("comments", ["x" * 10_001, None, 5])
def test_record_feedback_refuses_wrong_comments(rated, comments):
    with pytest.raises(InvalidInputError, match="comments"):
        rated.record_feedback("g-0", 4, comments)
    assert rated.ratings("g") == []


@pytest.mark.parametrize("comments", ["", "x" * 10_000, "'; DROP TABLE feedback; --", "a\x00b", "\ud800"])
def test_record_feedback_keeps_odd_comments(rated, comments):
    rated.record_feedback("g-0", 4, comments)
    assert len(rated.ratings("g")) == 1


@pytest.mark.parametrize("identifier", ["nope", "G", "g "])
@pytest.mark.parametrize("method", ["get_generation", "ratings", "remove_feedback"])
def test_unknown_id_names_remedy(rated, method, identifier):
    with pytest.raises(UnknownGenerationError, match="python -m intelligence generations"):
        getattr(rated, method)(identifier)
    with pytest.raises(UnknownGenerationError, match="python -m intelligence generations"):
        rated.record_feedback(identifier, 5)


def test_record_feedback_replaces_earlier_rating(rated):
    for rating in (1, 5, 3):
        rated.record_feedback("g-0", rating)
    assert [feedback.rating for feedback in rated.ratings("g-0")] == [3]
    assert [one.stars for one in rated.preferences().observations] == [3]


def test_ratings_of_only_image_and_generation_are_one(rated):
    rated.record_feedback("single", 2)
    rated.record_feedback("single-0", 5)
    assert [(feedback.target_id, feedback.rating) for feedback in rated.ratings("single")] == [("single-0", 5)]


def test_ratings_of_generation_before_images(rated):
    for target, rating in (("g-1", 2), ("g", 4), ("g-0", 5)):
        rated.record_feedback(target, rating)
    assert [feedback.target_id for feedback in rated.ratings("g")] == ["g", "g-0", "g-1"]
    assert [feedback.target_id for feedback in rated.ratings("g-1")] == ["g-1"]


def test_revision_follows_ratings_alone(rated):
    def step(action):
        before = rated.revision
        action()
        return rated.revision - before

    assert rated.revision == 0
    assert step(lambda: rated.record_generation("new", ["new-0"], {})) == 0
    assert step(lambda: rated.record_timing("cuda", Timing(512, 512, 1, 40, 2, 0.1, 5.0))) == 0
    assert step(lambda: rated.record_feedback("g-0", 4)) == 1
    assert step(lambda: rated.record_feedback("g-0", 4)) == 0
    assert step(lambda: rated.record_feedback("g-0", 4, "only words")) == 0
    assert step(lambda: rated.record_feedback("g-0", 5)) == 1
    assert step(lambda: rated.remove_feedback("g-0")) == 1
    assert step(lambda: rated.remove_feedback("g-0")) == 0
    assert rated.ratings("g") == []


def test_revision_seen_by_other_engine(rated, tmp_path):
    rated.record_feedback("g", 5)
    other = LearningEngine(tmp_path / "data" / "learning.db")
    assert other.revision == rated.revision == 1
    other.close()


def test_timings_keep_last_48_of_key_in_order(engine):
    timings = [Timing(512, 512, 1, 40, 2, 0.1 + index, 5.0) for index in range(50)]
    for timing in timings:
        engine.record_timing("cuda:sdxl", timing)
    engine.record_timing("cpu", timings[0])
    assert engine.timings("cuda:sdxl") == timings[2:]
    assert engine.timings("cpu") == timings[:1]
    assert engine.timings("mps") == []
    engine.record_timing("cuda:sdxl:4.8", timings[7])
    assert engine.timings("cuda:sdxl:4.8") == timings[7:8]
    assert engine.timings("cuda:sdxl") == [*timings[2:], timings[7]]
    assert engine.timings("cuda:sd") == []


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "1", True])
@pytest.mark.parametrize("name", ["width", "items", "item_seconds", "seconds"])
def test_timing_refuses_wrong_value(engine, name, value):
    with pytest.raises(InvalidInputError, match=name):
        engine.record_timing("cuda", replace(Timing(512, 512, 1, 40, 2, 0.1, 5.0), **{name: value}))


def test_reading_makes_no_file(engine, tmp_path):
    assert (engine.revision, engine.list_generations(), engine.timings("cpu")) == (0, [], [])
    assert len(engine.preferences()) == 0
    assert not (tmp_path / "data").exists()


def test_engine_opens_data_folder_by_default(monkeypatch, tmp_path):
    monkeypatch.setenv("INTELLIGENT_GENERATION_HOME", str(tmp_path / "home"))
    engine = LearningEngine()
    engine.record_generation("g", ["i"], {})
    engine.close()
    assert (tmp_path / "home" / "learning.db").is_file()


def test_unusable_folder_names_path_and_remedy(tmp_path):
    (tmp_path / "file").write_text("in the way")
    engine = LearningEngine(tmp_path / "file" / "learning.db")
    with pytest.raises(StorageError, match=r"learning\.db.*INTELLIGENT_GENERATION_HOME"):
        engine.record_generation("g", ["i"], {})
    assert engine.list_generations() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk_raises_storage_error():
    with pytest.raises(StorageError, match="/dev/full"):
        LearningEngine("/dev/full").record_generation("g", ["i"], {})


def test_folder_in_place_of_file_reads_as_empty(tmp_path):
    engine = LearningEngine(tmp_path)
    assert len(engine.preferences()) == 0
    with pytest.raises(StorageError, match="INTELLIGENT_GENERATION_HOME"):
        engine.record_generation("g", ["i"], {})


@pytest.mark.parametrize("content", [b"this is no database" * 500, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_damaged_database_is_set_aside_and_kept(tmp_path, content):
    path = tmp_path / "learning.db"
    path.write_bytes(content)
    engine = LearningEngine(path)
    assert len(engine.preferences()) == 0
    engine.record_generation("g", ["i"], {})
    assert engine.record_feedback("i", 5).rating == 5
    (aside,) = tmp_path.glob("learning.db.damaged-*")
    assert aside.read_bytes() == content
    engine.close()


def test_database_of_newer_version_is_kept_and_read(rated, tmp_path):
    rated.record_feedback("g-1", 4)
    rated.close()
    path = tmp_path / "data" / "learning.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    engine = LearningEngine(path)
    assert [one.rating for one in engine.ratings("g")] == [4]
    with pytest.raises(StorageError, match="newer version"):
        engine.record_feedback("g-1", 5)
    engine.close()
    assert path.read_bytes() == before


def test_threads_share_engine(engine):
    def work(name):
        for index in range(10):
            engine.record_generation(f"{name}{index}", [f"{name}{index}-0"], {}, loras=["lora:a"])
            engine.record_feedback(f"{name}{index}", 5)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (engine.revision, len(engine.preferences())) == (40, 40)


WRITER = """
import sys
from intelligence.learning import LearningEngine
engine = LearningEngine(sys.argv[1])
for index in range(int(sys.argv[3])):
    name = f"{sys.argv[2]}-{index}"
    engine.record_generation(name, [name + "-0"], {"index": index}, loras=["lora:a"])
    engine.record_feedback(name, 1 + index % 5)
    print(name, flush=True)
"""


def start_writer(path, name, count):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_processes_share_database(tmp_path):
    path = tmp_path / "learning.db"
    writers = [start_writer(path, name, 15) for name in "ab"]
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    engine = LearningEngine(path)
    assert (engine.revision, len(engine.list_generations(100))) == (30, 30)
    engine.close()


def test_kill_loses_no_accepted_rating():
    """Ten kills of one of two writers, whose clocks jump back."""
    found = rating_kills(10)
    assert (found["lost_ratings"], found["double_ratings"], found["broken"]) == (0, 0, 0)
    assert (found["kills"], found["acknowledged"] > 20) == (10, True)


def test_record_generation_keeps_strengths(tmp_path):
    engine = LearningEngine(tmp_path / "learning.db")
    engine.record_generation("g", ["g-0"], {}, loras=["lora:a", "lora:b"], strengths=[0.6, 0.8])
    engine.record_feedback("g-0", 5)
    (rated,) = engine.preferences().observations
    assert [(used.lora, used.strength) for used in rated.picture.loras] == [("lora:a", 0.6), ("lora:b", 0.8)]
    with pytest.raises(InvalidInputError, match="as many as loras"):
        engine.record_generation("h", ["h-0"], {}, loras=["lora:a"], strengths=[0.6, 0.8])


def test_database_without_strengths_is_migrated(tmp_path):
    path = tmp_path / "learning.db"
    with closing(Database(path, MIGRATIONS[:2])) as old, old.transaction() as db:
        db.execute("INSERT INTO generations VALUES ('g', '2026', '', '{}', '[\"lora:a\"]', '[]')")
        db.execute("INSERT INTO images VALUES ('g-0', 'g', 0)")
    engine = LearningEngine(path)
    engine.record_feedback("g-0", 5)
    (rated,) = engine.preferences().observations
    assert [(used.lora, used.strength) for used in rated.picture.loras] == [("lora:a", None)]
