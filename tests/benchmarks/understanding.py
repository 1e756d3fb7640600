"""Share of labelled prompts that are understood, and time: python -m tests.benchmarks.understanding --json

`data/README.md` describes the labelled prompts: two halves, and fresh ones. With `--records` (a folder of CivitAI model
records) and `--captions` (a CSV file with a column `caption`) the benchmark also measures how well tag lists and plain
language are told apart on prompts that others wrote: the first image of each odd model id, the captions of odd rows.
"""

from __future__ import annotations

import csv
import json
import random
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
SETS = (*HALVES, "fresh")


def rows(name: str) -> list[dict[str, Any]]:
    """Return the lines of `data/NAME.jsonl`."""
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def labelled(name: str) -> list[dict[str, Any]]:
    """Return the labelled prompts of a set; those that have been seen count with the tuned half."""
    return rows(f"prompts_{name}") + (rows("prompts_seen") if name == "tuned" else [])


def share(right: Iterable[bool]) -> float:
    """Return the share of `right` that is true."""
    return statistics.fmean(map(float, right))


def accuracy(analyzer: PromptAnalyzer, prompts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the shares of prompts whose parts are read as a person labelled them."""
    read = [(analyzer.analyze(row["prompt"]), row) for row in prompts]
    return {
        "style": share(analysis.intent.artistic_style in row["style"] for analysis, row in read),
        "content": share(analysis.intent.content_type in row["content"] for analysis, row in read),
        "language": share(analysis.language == row["language"] for analysis, row in read),
        "tag_list": share((a.tag_style > 0.5) is row["tag_list"] for a, row in read if row["tag_list"] is not None),
    }


def concept_words(analysis: PromptAnalysis) -> set[str]:
    """Return the words of an analysis' concepts, in the singular."""
    return {word for phrases in analysis.concepts.values() for phrase in phrases for word in terms(phrase)}


def twin_overlap(analyzer: PromptAnalyzer, twins: Sequence[Mapping[str, str]]) -> list[float]:
    """Return per pair the Jaccard index of the words in the concepts of the Spanish and the English prompt."""
    pairs = [
        (concept_words(analyzer.analyze(twin["es"])), concept_words(analyzer.analyze(twin["en"]))) for twin in twins
    ]
    return [len(spanish & english) / len(spanish | english) for spanish, english in pairs]


def tag_or_caption(analyzer: PromptAnalyzer, records: Path, captions: Path) -> dict[str, float | int]:
    """Return how well `tag_style` tells image prompts of CivitAI from captions, on equal shares of both."""
    from tests.benchmarks.civitai import load_records

    tags = [lora.images[0].prompt for lora in load_records(records, "odd") if lora.images and lora.images[0].prompt]
    with captions.open(newline="", encoding="utf-8") as file:
        natural = [row["caption"] for row in csv.DictReader(file)][1::2]
    both = [(random.Random(0).sample(prompts, min(len(tags), len(natural)))) for prompts in (tags, natural)]
    read = [
        (analyzer.analyze(prompt).tag_style, right)
        for prompts, right in zip(both, (1, 0), strict=True)
        for prompt in prompts
    ]
    return {
        "outside_prompts": len(read),
        "outside_tag_list": share((probability > 0.5) == right for probability, right in read),
        "outside_tag_list_brier": statistics.fmean((probability - right) ** 2 for probability, right in read),
    }


def milliseconds(analyzer: PromptAnalyzer, prompt: str) -> float:
    start = time.perf_counter()
    analyzer.analyze(prompt)
    return (time.perf_counter() - start) * 1000


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--records", type=Path, help="a folder of CivitAI model records (JSON)")
    options.add_argument("--captions", type=Path, help="a CSV file with a column `caption`")
    arguments = options.parse_args()
    analyzer = PromptAnalyzer()
    figures: dict[str, float | int | str | bool | None] = {}
    prompts = []
    for name in SETS:
        part = labelled(name)
        prompts += [row["prompt"] for row in part]
        figures[f"{name}_prompts"] = len(part)
        figures |= {f"{name}_{what}": value for what, value in accuracy(analyzer, part).items()}
    for half in HALVES:
        twins = rows(f"twins_{half}")
        figures[f"{half}_twins"] = len(twins)
        figures[f"{half}_twin_overlap"] = statistics.fmean(twin_overlap(analyzer, twins))
    if arguments.records and arguments.captions:
        figures |= tag_or_caption(analyzer, arguments.records, arguments.captions)
    times = [milliseconds(analyzer, prompt) for prompt in prompts * 5]
    figures["analyze_median_ms"] = statistics.median(times)
    figures["analyze_p95_ms"] = statistics.quantiles(times, n=20)[-1]
    report(figures, arguments.json)


if __name__ == "__main__":
    main()
