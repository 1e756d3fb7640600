"""The benchmarks of records run from end to end: on a few made ones, whose figures say nothing."""

import json
import sys

import pytest

from tests.benchmarks import retrieval, strength

SUBJECTS = ("zorblax", "mirkwood", "quillfox", "brundle", "vexley", "tamsin", "orlok", "pemberley")
EVERYDAY = ("1girl", "forest", "castle at night", "smile", "sword", "red dress", "rain", "city street")


def record(number, subject):
    """A CivitAI record with four images, the last of two LoRAs."""
    prompts = []
    for turn in range(4):
        around = f"{EVERYDAY[(number + turn) % 8]}, {EVERYDAY[(3 * number + turn) % 8]}"
        prompts.append(f"{subject}, {around} <lora:{subject}_v1:{0.6 + turn / 10:.1f}>")
    prompts[-1] += f" <lora:{SUBJECTS[number % len(SUBJECTS)]}_v1:0.4>"
    return {
        "id": number,
        "type": "LORA",
        "name": f"{subject} the wanderer",
        "poi": False,
        "description": f"<p>{subject}, use it at 0.8</p>",
        "tags": ["character", subject],
        "creator": {"username": f"maker {number % 3}"},
        "modelVersions": [
            {
                "id": 100 + number,
                "baseModel": "SD 1.5",
                "trainedWords": [subject],
                "files": [{"name": f"{subject}_v1.safetensors", "type": "Model"}],
                "images": [{"meta": {"prompt": prompt}} for prompt in prompts],
            }
        ],
    }


@pytest.fixture
def records(tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    for number, subject in enumerate(SUBJECTS, 1):
        (folder / f"{number}.json").write_text(json.dumps(record(number, subject)), encoding="utf-8")
    return folder


def figures(benchmark, arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, arguments), "--json"])
    benchmark.main()
    return json.loads(capsys.readouterr().out)


def test_retrieval_runs_on_made_records(records, tmp_path, monkeypatch, capsys):
    captions = tmp_path / "captions.csv"
    rows = [f'"a photo of {subject} in a forest","{{0: [{number}]}}"' for number, subject in enumerate(SUBJECTS, 1)]
    captions.write_text("\n".join(("caption,ranked_adapters", *rows, "")), encoding="utf-8")
    monkeypatch.setattr(retrieval, "LIBRARIES", ((4, 2),))
    monkeypatch.setattr(retrieval, "PEOPLE", (5,))
    monkeypatch.setattr(retrieval, "ASKED", 4)
    arguments = ("--records", records, "--captions", captions, "--ids", "all", "--scales", 20)
    found = figures(retrieval, arguments, monkeypatch, capsys)
    assert found["loras"] == len(SUBJECTS) and found["queries"] >= len(SUBJECTS)
    assert found["a_recall_at_1"] > 0.9 > found["b_recall_at_1"]
    assert found["auto_tags_precision"] > 0.7 and found["auto_tags_picks_per_prompt"] > 0.3
    assert found["captions_recall_at_10"] == 1 and found["own_5_whole_recall_at_1"] is not None
    assert found["at_20_median_ms"] > 0 and found["index_mb"] > 0


def test_strength_runs_on_made_records(records, monkeypatch, capsys):
    found = figures(strength, ("--records", records, "--ids", "all"), monkeypatch, capsys)
    assert found["odd_uses"] == found["even_uses"] == 4 * len(SUBJECTS) / 2
    assert 0 < found["odd_mae_known_all"] < 0.2
