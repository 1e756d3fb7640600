"""The analysis of labelled prompts; `tests/benchmarks/data/README.md` describes them."""

import hashlib
import json

import pytest

from intelligence.prompt import ArtisticStyle, ContentType, PromptAnalyzer
from tests.benchmarks.understanding import HALVES, SETS, accuracy, labelled, rows, twin_overlap

ANALYZER = PromptAnalyzer()
FLOORS = {"style": 0.92, "content": 0.90, "language": 0.97, "tag_list": 0.93}


@pytest.mark.parametrize("name", SETS)
def test_analyze_labelled_prompts_above_floors(name):
    figures = accuracy(ANALYZER, labelled(name))
    assert {what: figures[what] for what, floor in FLOORS.items() if figures[what] < floor} == {}


@pytest.mark.parametrize("half", HALVES)
def test_concepts_of_spanish_and_english_twins_overlap(half):
    overlap = twin_overlap(ANALYZER, rows(f"twins_{half}"))
    assert sum(overlap) / len(overlap) >= 0.9
    assert sum(value == 1 for value in overlap) / len(overlap) >= 0.8


def test_held_out_prompts_follow_their_hash():
    def held_out(text):
        return int(hashlib.sha256(text.encode()).hexdigest()[-1], 16) % 2 == 1

    tuned, held = ([row["prompt"] for row in rows(f"prompts_{half}")] for half in HALVES)
    others = [row["prompt"] for name in ("seen", "fresh") for row in rows(f"prompts_{name}")]
    assert len({*tuned, *held, *others}) == len(tuned) + len(held) + len(others) >= 300
    assert all(map(held_out, held)) and not any(map(held_out, tuned))
    assert all(held_out(row["es"]) for row in rows("twins_held_out"))
    assert not any(held_out(row["es"]) for row in rows("twins_tuned"))


def test_labels_are_styles_and_contents():
    styles, contents = set(ArtisticStyle), set(ContentType)
    for name in SETS:
        for row in labelled(name):
            assert set(row["style"]) <= styles and set(row["content"]) <= contents, json.dumps(row)
