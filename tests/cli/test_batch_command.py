"""`python -m intelligence batch`: foretold without a trace, swept from one line, and opened once more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from intelligence.__main__ import main
from intelligence.cli import batch_commands
from intelligence.learning import LearningEngine

pytestmark = pytest.mark.usefixtures("embedded_home")

SETTINGS = {"num_steps": 2, "width": 64, "height": 64}


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, object]:
    assert main(["batch", *arguments, "--json"]) == status
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_dry_run_foretells_and_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed, out = tmp_path / "foxes.jsonl", tmp_path / "foxes"
    run = {"base_model": "embedded", "run": {"prompt": "a red fox,\u2028a line of its own", "settings": SETTINGS}}
    lines = [{**run, "sweep": {"seed": "0..3", "steps": [2, 3]}}, {**run, "sweep": {"seed": "0..1"}}]
    listed.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    before = len(LearningEngine().list_generations(1000))
    told = as_json(capsys, str(listed), "--out", str(out), "--dry-run")
    assert (told["jobs"], told["pictures"], told["same_as_another"], told["setups"]) == (8, 8, 2, 1)
    assert isinstance(told["predicted_seconds"], float) and told["predicted_seconds"] > 0
    assert not out.exists()
    assert len(LearningEngine().list_generations(1000)) == before


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero on this system")
def test_endless_standard_input_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_commands, "MAX_GIVEN_BYTES", 2 << 20)
    with Path("/dev/zero").open(encoding="utf-8") as endless:
        monkeypatch.setattr("sys.stdin", endless)
        assert main(["batch", "-", "--out", "x"]) == 1
    assert capsys.readouterr().err == "error: -: cannot be read (larger than 2 MB)\n"


def test_sweep_of_a_prompt_is_made_and_its_stars_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = "seed=0..1 steps=1,2 width=64 height=64"
    asked = ["--prompt", "a red fox", "--base-model", "embedded", "--sweep", sweep, "--out", str(tmp_path)]
    made = as_json(capsys, *asked)
    assert (made["total"], made["done"], made["made_before"], made["failed"]) == (4, 4, 0, 0)
    pictures = sorted(tmp_path.glob("*.png"))
    records = [json.loads(picture.with_suffix(".json").read_text()) for picture in pictures]
    settings = [record["plan"]["recommendations"]["suggested_params"] for record in records]
    found = {(record["seed"], one["num_steps"]) for record, one in zip(records, settings, strict=True)}
    assert found == {(0, 1), (0, 2), (1, 1), (1, 2)}
    acts = {one.generation_id: one.subject for one in LearningEngine().signals.shown()}
    assert not [acts[record["id"]] for record in records if record["id"] in acts]
    sheet = Path(str(made["contact_sheet"]))
    assert sheet.read_text().count("★") == 0

    LearningEngine().record_feedback(records[1]["image_id"], 4)
    again = as_json(capsys, *asked)
    LearningEngine().remove_feedback(records[1]["image_id"])
    assert (again["total"], again["done"], again["made_before"]) == (4, 4, 4)
    (figure,) = [figure for figure in sheet.read_text().split("<figure>") if "★" in figure]
    assert "★★★★☆" in figure and pictures[1].name in figure


def test_again_opens_what_was_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed, out = tmp_path / "one.jsonl", tmp_path / "one"
    run = {"prompt": "a red fox", "seed": 0, "settings": SETTINGS}
    listed.write_text(json.dumps({"base_model": "embedded", "run": run}))
    asked = [str(listed), "--out", str(out), "--retries", "0"]
    aside = as_json(capsys, *asked, "--timeout", "1e-6")
    assert (aside["total"], aside["done"], aside["failed"]) == (1, 0, 1)
    kept = as_json(capsys, *asked)
    assert (kept["done"], kept["failed"]) == (0, 1)
    opened = as_json(capsys, *asked, "--again")
    assert (opened["done"], opened["failed"]) == (1, 0)
    assert len(list(out.glob("*.png"))) == 1
