"""Ratings taken elsewhere and back; resets; what is told of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from intelligence import InvalidInputError
from intelligence.learning import LearningEngine
from intelligence.learning.observations import Evidence
from intelligence.pictures.look import Look


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LearningEngine]:
    with closing(LearningEngine(tmp_path / "one.db")) as engine:
        yield engine


@pytest.fixture
def other(tmp_path: Path) -> Iterator[LearningEngine]:
    with closing(LearningEngine(tmp_path / "other.db")) as engine:
        yield engine


def rated(engine: LearningEngine) -> None:
    """Two images of LoRA a (5, then 4 stars for one), one of LoRA b that was rated and taken back, one unrated."""
    engine.record_generation("a", ["a-0", "own a"], {"n": 1}, loras=["lora:a"], concepts=["cat"], strengths=[0.5])
    engine.record_generation("b", ["b-0"], {"n": 2}, loras=["lora:b"])
    engine.record_generation("c", ["c-0"], {"n": 3})
    for target, stars in (("a-0", 5), ("own a", 2), ("b", 1), ("a-0", 4)):
        engine.record_feedback(target, stars, f"{target} {stars}")
    engine.remove_feedback("b")


def plain(engine: LearningEngine, name: str) -> list[tuple[str, int, str, str]]:
    return [(one.target_id, one.rating, one.comments, one.rated_at) for one in engine.rating_history(name)]


def test_export_is_json_and_comes_back_whole(engine: LearningEngine, other: LearningEngine) -> None:
    rated(engine)
    export = json.loads(json.dumps(engine.export_ratings()))
    assert other.import_ratings(export) == (2, 3, 0)
    for name in ("a", "b"):
        assert plain(other, name) == plain(engine, name)
        assert other.ratings(name) == engine.ratings(name)
    assert other.get_generation("own a").to_dict() == engine.get_generation("own a").to_dict()
    assert [stored.generation_id for stored in other.list_generations()] == ["b", "a"]
    revision = other.revision
    assert other.import_ratings(export) == (0, 0, 0)
    assert other.revision == revision
    assert other.export_ratings()["generations"] == export["generations"]


def test_later_rating_counts_whichever_side_it_is_on(engine: LearningEngine, other: LearningEngine) -> None:
    rated(engine)
    other.import_ratings(engine.export_ratings())
    engine.record_feedback("a-0", 3)
    other.record_feedback("own a", 5)
    assert other.import_ratings(engine.export_ratings()) == (0, 1, 0)
    assert [one.rating for one in other.ratings("a")] == [3, 5]
    assert [one.rating for one in other.rating_history("a-0")] == [5, 4, 3]
    assert engine.import_ratings(other.export_ratings()) == (0, 1, 0)
    assert engine.ratings("a") == other.ratings("a")


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {"type": "RatingsExport", "schema": 99, "generations": []},
        {"type": "Generation", "generations": []},
        {"type": "RatingsExport", "schema": 1, "generations": [{"generation_id": "x"}]},
    ],
)
def test_import_refuses_what_is_no_export(engine: LearningEngine, wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match="export"):
        engine.import_ratings(wrong)


def test_import_with_a_wrong_rating_adds_nothing(engine: LearningEngine, other: LearningEngine) -> None:
    rated(engine)
    export = engine.export_ratings()
    export["generations"][1]["ratings"][0]["rating"] = 9
    with pytest.raises(InvalidInputError, match="generation 1"):
        other.import_ratings(export)
    assert other.counts() == (0, 0)


def test_import_without_prompts(engine: LearningEngine, other: LearningEngine) -> None:
    rated(engine)
    other.keep_prompts = False
    other.import_ratings(engine.export_ratings())
    assert other.get_generation("a").concepts == ()


def test_reset_ratings_stay_and_do_not_count(engine: LearningEngine) -> None:
    rated(engine)
    assert engine.reset("lora:b") == 0
    assert engine.reset("lora:a") == 2
    assert engine.rated_pictures() == []
    assert [one.rating for one in engine.ratings("a")] == [4, 2]
    engine.record_feedback("a-0", 5)
    assert [picture.rating for picture in engine.rated_pictures()] == [5]
    assert engine.reset() == 1
    assert engine.reset() == 0


def test_ratings_by_stars_and_month(engine: LearningEngine) -> None:
    rated(engine)
    assert engine.ratings_by_stars() == [0, 1, 0, 1, 0]
    ((month, number, mean),) = engine.ratings_by_month()
    assert (len(month), number, mean) == (7, 2, 3.0)


def test_acts_go_with_the_export(engine: LearningEngine, other: LearningEngine) -> None:
    engine.record_generation("run", ["run-0", "run-1"], {"n": 1}, loras=["lora:a"])
    engine.signals.note("run-1", Evidence.PICKED)
    settings = {"reasons": [{"setting": "cfg", "source": "user", "otherwise": "7"}], "guidance_scale": 4.0}
    offered = [{"lora": "lora:a", "strength": 0.8, "confidence": 0.7, "standing": 0.9}]
    stage = {"suggested_loras": [], "offered": offered, "suggested_params": settings}
    stage |= {"prompt_analysis": {"prompt": "a cat"}}
    engine.record_generation("scouted", ["scouted-0"], {})
    engine.signals.note("scouted", Evidence.SCOUTED, 0, [Look(*range(8)), Look(*range(1, 9))])
    before = stage | {"prompt_analysis": {"prompt": "a dog"}, "offered": []}
    engine.record_generation("before", ["before-0"], {"plan": {"recommendations": before}})
    engine.record_generation("edited", ["edited-0"], data := {"plan": {"recommendations": stage}})
    assert engine.signals.note_made("edited", data) == 2
    engine.signals.drop([one.number for one in engine.signals.shown() if one.kind == "setting"])
    export = json.loads(json.dumps(engine.export_ratings()))
    assert other.import_ratings(export) == (3, 0, 4)
    told = [
        [(one.kind, one.subject, one.offered, one.noticed_at) for one in each.signals.shown()]
        for each in (engine, other)
    ]
    assert told[0] == told[1]
    assert [one[:2] for one in told[1]] == [("removed", "lora:a"), ("scouted", ""), ("picked", "")]
    assert other.preferences().observations == engine.preferences().observations
    assert other.import_ratings(export) == (0, 0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "bored"},
        {"image": 5},
        {"kind": "removed", "offered": 3},
        {"propensity": 2},
        {"offered": {}},
        {"kind": "scouted", "offered": {"looks": [[1, 2]]}},
        {"kind": "scouted", "offered": {"looks": [["bright"] * 8]}},
    ],
)
def test_wrong_act_is_refused(engine: LearningEngine, other: LearningEngine, wrong: dict[str, Any]) -> None:
    engine.record_generation("run", ["run-0", "run-1"], {})
    engine.signals.note("run-1", Evidence.PICKED)
    export = engine.export_ratings()
    export["generations"][0]["acts"][0].update(wrong)
    with pytest.raises(InvalidInputError):
        other.import_ratings(export)
    assert other.counts().generations == 0
