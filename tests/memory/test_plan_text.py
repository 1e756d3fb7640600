"""A plan as text, in a terminal too."""

import json

import pytest

from intelligence.__main__ import main
from intelligence.generation.explanation import plan_lines
from intelligence.memory import MemoryManager, MemoryPlan, Resources, hypothetical_gpu, peak_line
from intelligence.memory.plan import BAR_WIDTH
from intelligence.parameters.speed import learn
from intelligence.parameters.workload import Work

MACHINE = Resources("cpu", "Test", 64, 48, 64, 48)


def bars(lines):
    return {line.split()[0]: line.split()[1] for line in lines if "·" in line or "▒" in line if "iB" in line}


@pytest.mark.parametrize("vram", [1, 8, 24])
def test_budget_bars_have_length_of_peaks(vram):
    plan = MemoryManager().plan(1024, 1024, resources=hypothetical_gpu(vram, MACHINE))
    found = bars(plan_lines(plan))
    assert set(found) == {"text", "steps", "decode"}
    for stage, name in (("text", "text"), ("unet", "steps"), ("vae", "decode")):
        assert len(found[name]) == BAR_WIDTH
        assert found[name].count("█") + found[name].count("▒") == round(plan.stages[stage] / vram * BAR_WIDTH)
    assert plan_lines(plan)[0] == f"Budget: {vram:.2f} GiB"


def test_plan_lines_of_plan_that_does_not_fit():
    plan = MemoryManager().plan(1024, 1024, resources=hypothetical_gpu(0.5, MACHINE))
    lines = plan_lines(plan)
    assert any(line.endswith("(over the budget)") for line in lines)
    assert any(line.startswith("fits: even the smallest plan") for line in lines)


def test_peak_line_before_and_after_run():
    plan = MemoryManager().plan(1024, 1024, resources=hypothetical_gpu(24, MACHINE))
    assert peak_line(plan) == f"Memory peak: predicted {plan.predicted_peak_gb:.2f} GiB"
    assert peak_line(plan, 11.0).endswith("measured 11.00 GiB")
    assert f"{plan.predicted_peak_gb - plan.context_gb:.2f}" in peak_line(plan, 11.0)


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("INTELLIGENT_GENERATION_HOME", str(tmp_path))


def test_plan_command(capsys):
    assert main(["plan", "--vram", "8", "--size", "1024x1024"]) == 0
    text = capsys.readouterr().out
    assert "Budget: 8.00 GiB" in text
    assert "Next faster: FULL_GPU" in text
    arguments = [
        "plan",
        "--vram",
        "6",
        "--size",
        "1536x1024",
        "--batch",
        "3",
        "--strategy",
        "sequential",
        "--tile",
        "512",
    ]
    assert main([*arguments, "--no-cfg", "--steps", "8", "--json"]) == 0
    plan = MemoryPlan.from_dict(json.loads(capsys.readouterr().out))
    rates = learn((), "cuda").rates(Work(1536, 1024, 24, 24, 3))
    expected = MemoryManager().plan(
        1536,
        1024,
        3,
        guided=False,
        steps=8,
        tile_size=512,
        rates=rates,
        resources=hypothetical_gpu(6, MACHINE),
        settings=_settings("SEQUENTIAL"),
    )
    assert plan == expected
    assert main(["plan"]) == 0


def _settings(strategy):
    from intelligence.config import MemorySettings

    return MemorySettings(strategy)


@pytest.mark.parametrize(("option", "value"), [("--size", "big"), ("--vram", "-1"), ("--batch", "0")])
def test_plan_command_refuses_wrong_options(option, value, capsys):
    assert main(["plan", "--vram", "8", option, value]) == 1
    assert value.strip("-") in capsys.readouterr().err
