"""How fast prompts are read, at worst too: python -m tests.benchmarks.grammar --json"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

from intelligence.prompt import PromptAnalyzer, parse
from tests.benchmarks.report import parser, report
from tests.benchmarks.understanding import HALVES, rows

WORST = {
    "open_parentheses": "(" * 100_000,
    "nested_parentheses": "(" * 50_000 + ")" * 50_000,
    "nested_weights": "(a:1" * 25_000,
    "commas": "," * 100_000,
    "tags": "<lora:x:1>" * 10_000,
    "half_tags": "<lora:" * 16_000,
    "brackets": "[" + ":" * 99_999,
    "words": "girl " * 20_000,
}


def milliseconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def main() -> None:
    arguments = parser(__doc__ or "").parse_args()
    analyzer = PromptAnalyzer()
    analyzer.analyze("warm up")
    prompts = [row["prompt"] for half in HALVES for row in rows(f"prompts_{half}")]
    random.Random(0).shuffle(prompts)
    figures: dict[str, float | int | str | bool | None] = {}
    for name, read in (("parse", parse), ("analyze", analyzer.analyze)):
        times = [milliseconds(lambda read=read, prompt=prompt: read(prompt)) for prompt in prompts * 5]
        figures[f"{name}_median_ms"] = statistics.median(times)
        figures[f"{name}_p95_ms"] = statistics.quantiles(times, n=20)[-1]
    for name, prompt in WORST.items():
        figures[f"parse_worst_{name}_ms"] = milliseconds(lambda prompt=prompt: parse(prompt))
        figures[f"analyze_worst_{name}_ms"] = milliseconds(lambda prompt=prompt: analyzer.analyze(prompt))
    report(figures, arguments.json)


if __name__ == "__main__":
    main()
