"""Job lists: lines, sweeps, and what is wrong with them."""

from __future__ import annotations

import json

import pytest

from intelligence import InvalidInputError
from intelligence.generation.execution.job_list import parse_sweep, read_job_list


def line(**run: object) -> str:
    return json.dumps({"base_model": "embedded", "run": {"prompt": "a fox", **run}})


def test_read_job_list_leaves_out_comments() -> None:
    found = read_job_list(["# all foxes", "", line(seed=0), line(seed=1)])
    assert [run.run.seed for each in found for run in each.runs] == [0, 1]


def test_read_job_list_tells_equal_lines_apart() -> None:
    first, second = read_job_list([line(), line()])
    assert first.id != second.id
    assert [each.id for each in read_job_list([line(), line()])] == [first.id, second.id]


def test_sweep_multiplies() -> None:
    text = json.dumps({"run": {"prompt": "a fox"}, "sweep": {"seed": "0..2", "steps": [8, 12], "lora:a b": [0.4]}})
    (found,) = read_job_list([text])
    points = [(each.run.seed, each.run.settings.num_steps, each.run.settings.loras) for each in found.runs]
    assert points == [(seed, steps, {"a b": 0.4}) for seed in range(3) for steps in (8, 12)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed=0..3", {"seed": [0, 1, 2, 3]}),
        ("steps=12,20 cfg=5.5", {"steps": [12, 20], "cfg": [5.5]}),
        ("lora:anime_v2=0.4,0.8", {"lora:anime_v2": [0.4, 0.8]}),
        ("'lora:my LoRA=x=1'", {"lora:my LoRA=x": [1]}),
        ("sampler=euler,dpmpp_2m", {"sampler": ["euler", "dpmpp_2m"]}),
        ("'prompt=a fox,an owl'", {"prompt": ["a fox", "an owl"]}),
        ("", {}),
    ],
)
def test_parse_sweep(text: str, expected: dict[str, list[object]]) -> None:
    assert parse_sweep(text) == expected


@pytest.mark.parametrize(
    ("text", "sweep", "said"),
    [
        ("{", "", "line 1: not JSON"),
        ("[" * 99_999, "", "line 1: nested too deeply"),
        ("[]", "", "line 1: must be an object"),
        ("{}", "", "line 1: run.prompt is missing"),
        ('{"run": {"prompt": "a", "sed": 1}}', "", "did you mean 'seed'"),
        ('{"run": {"prompt": "a"}, "sweep": {"stepps": [1]}}', "", "did you mean 'steps'"),
        ('{"run": {"prompt": "a"}, "sweep": {"steps": []}}', "", "steps must have a list of values"),
        (line(), "seed=5..1", "counts down"),
        (line(), "seed", "must look like"),
        (line(), "seed=0..9999999", "more than 1,000,000"),
        (line(), "seed=0..9999 steps=1..500", "5,000,000 points"),
        (line(), "steps=0", "num_steps"),
        ("# nothing", "", "the job list is empty"),
    ],
)
def test_read_job_list_says_what_is_wrong(text: str, sweep: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said.replace("(", r"\(")):
        read_job_list([text], sweep)
