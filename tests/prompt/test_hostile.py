"""Hostile prompts are refused with InvalidInputError or read with linear work; the benchmark `grammar` reads more."""

import sys

import pytest

from intelligence.errors import InvalidInputError
from intelligence.prompt import PromptAnalysis, PromptAnalyzer
from intelligence.prompt.clauses import MAX_WORDS
from tests.benchmarks.grammar import NO_TEXT, PIECES, hostile, refused, unusable

ANALYZER = PromptAnalyzer()
SOME = 500


def test_analyze_hostile_prompts_or_refuse():
    tried = 0
    for prompt in hostile(SOME):
        assert refused(ANALYZER, prompt, prompt) == unusable(prompt), ascii(prompt[:80])
        tried += 1
    assert tried == SOME


@pytest.mark.parametrize(
    "prompt", [p for p in list(hostile())[::40] if not any(c in p for c in NO_TEXT)], ids=lambda p: ascii(p[:20])
)
def test_analyze_hostile_prompt_is_bounded_and_survives_json(prompt):
    try:
        analysis = ANALYZER.analyze(prompt)
    except InvalidInputError:
        return
    assert PromptAnalysis.from_json(analysis.to_json()) == analysis
    assert sum(map(len, analysis.concepts.values())) <= MAX_WORDS
    assert 0 <= analysis.complexity <= 1 and 0 <= analysis.tag_style <= 1 and 0 <= analysis.intent.confidence <= 1


def calls(prompt):
    """Return the number of functions called to read `prompt`: work, counted instead of timed."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        refused(ANALYZER, prompt)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("piece", PIECES, ids=ascii)
def test_analyze_work_grows_linearly(piece):
    short, long = (piece * (length // len(piece)) for length in (6_000, 12_000))
    calls(long)
    assert calls(long) <= 2.2 * calls(short) + 200


def test_analyze_notes_words_left_out():
    assert ANALYZER.analyze("girl " * (MAX_WORDS + 1)).notes == (
        "Only the first 2,000 words were read for what they mean",
    )
    assert ANALYZER.analyze("girl " * MAX_WORDS).notes == ()
