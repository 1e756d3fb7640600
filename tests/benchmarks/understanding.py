"""How well prompts are understood, and how fast: python -m tests.benchmarks.understanding --json

`data/README.md` tells where the labelled prompts come from and what their two halves are.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from intelligence.prompt import PromptAnalysis, PromptAnalyzer
from intelligence.prompt.words import terms
from tests.benchmarks.report import parser, report

DATA = Path(__file__).with_name("data")
HALVES = ("tuned", "held_out")


def rows(name: str) -> list[dict[str, Any]]:
    """The lines of `data/NAME.jsonl`."""
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def share(right: Iterable[bool]) -> float:
    """How many of `right` are true."""
    return statistics.fmean(map(float, right))


def accuracy(analyzer: PromptAnalyzer, labelled: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The shares of labelled prompts whose parts are read as a person labelled them."""
    read = [(analyzer.analyze(row["prompt"]), row) for row in labelled]
    return {
        "style": share(analysis.intent.artistic_style in row["style"] for analysis, row in read),
        "content": share(analysis.intent.content_type in row["content"] for analysis, row in read),
        "language": share(analysis.language == row["language"] for analysis, row in read),
        "tag_list": share((a.tag_style > 0.5) is row["tag_list"] for a, row in read if row["tag_list"] is not None),
    }


def said(analysis: PromptAnalysis) -> set[str]:
    """The words of an analysis' concepts, in the singular."""
    return {word for phrases in analysis.concepts.values() for phrase in phrases for word in terms(phrase)}


def twin_overlap(analyzer: PromptAnalyzer, twins: Sequence[Mapping[str, str]]) -> list[float]:
    """Per pair, how much the concepts' words of the Spanish and the English prompt have in common (Jaccard)."""
    pairs = [(said(analyzer.analyze(twin["es"])), said(analyzer.analyze(twin["en"]))) for twin in twins]
    return [len(spanish & english) / len(spanish | english) for spanish, english in pairs]


def milliseconds(analyzer: PromptAnalyzer, prompt: str) -> float:
    start = time.perf_counter()
    analyzer.analyze(prompt)
    return (time.perf_counter() - start) * 1000


def main() -> None:
    arguments = parser(__doc__ or "").parse_args()
    analyzer = PromptAnalyzer()
    figures: dict[str, float | int | str | bool | None] = {}
    prompts = []
    for half in HALVES:
        labelled, twins = rows(f"prompts_{half}"), rows(f"twins_{half}")
        prompts += [row["prompt"] for row in labelled]
        figures[f"{half}_prompts"] = len(labelled)
        figures |= {f"{half}_{what}": value for what, value in accuracy(analyzer, labelled).items()}
        figures[f"{half}_twins"] = len(twins)
        figures[f"{half}_twin_overlap"] = statistics.fmean(twin_overlap(analyzer, twins))
    times = [milliseconds(analyzer, prompt) for prompt in prompts * 5]
    figures["analyze_median_ms"] = statistics.median(times)
    figures["analyze_p95_ms"] = statistics.quantiles(times, n=20)[-1]
    report(figures, arguments.json)


if __name__ == "__main__":
    main()
