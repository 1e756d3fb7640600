"""The words that a user reads."""

from __future__ import annotations

import pytest

from intelligence.generation.explanation import explain
from intelligence.prompt import PromptAnalyzer


@pytest.mark.parametrize(
    ("prompt", "start"),
    [
        ("anime girl with magical powers", "Prompt: anime character, simple"),
        ("the mirkwood witch", "Prompt: character, simple"),
        ("test prompt", "Prompt: no particular subject, simple"),
    ],
)
def test_a_summary_says_nothing_of_what_the_prompt_leaves_open(prompt: str, start: str) -> None:
    assert explain(PromptAnalyzer().analyze(prompt)).summary.startswith(start)


def test_how_the_prompt_was_read_has_its_reasons() -> None:
    reasons = explain(PromptAnalyzer().analyze("anime girl with magical powers")).parameter_reasoning
    assert reasons["style"] == "anime: the prompt says “anime”"
    assert {"content", "complexity"} <= set(reasons)
