"""How well and how fast LoRAs are found in a made library: python -m tests.benchmarks.retrieval --count 1000 --json

The library is drawn at random (invented subjects, shared everyday tags), so that these figures watch for setbacks; they
say nothing of how a person's library fares.
"""

from __future__ import annotations

import random
import statistics
import time

from intelligence.lora import LoRARecommender
from intelligence.prompt import PromptAnalyzer
from intelligence.registry import (
    Architecture,
    ExamplePrompt,
    LoRAKind,
    ModelEvidence,
    ModelKind,
    ModelMetadata,
    TriggerSet,
)
from tests.benchmarks.report import parser, report

EVERYDAY = [
    *("1girl", "solo", "smile", "dress", "armor", "sword", "forest", "castle", "night", "city", "street", "portrait"),
    *("fantasy", "anime", "magic", "cyberpunk", "dragon", "rain", "snow", "beach", "sunset", "hair", "eyes", "jacket"),
    *("flowers", "wings", "fire", "neon", "robot", "cat", "horse", "window", "moon", "bokeh", "sketch", "watercolor"),
]
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "ar", "el", "in", "or", "un")]
SDXL = ModelEvidence(name="made", architecture=Architecture.SDXL)


class MadeLibrary:
    """Stands where the registry stands."""

    def __init__(self, count: int, rng: random.Random) -> None:
        self.revision = 1
        self.models = [made(number, rng) for number in range(count)]

    def list_models(self, kind: ModelKind | None = None, *, with_problems: bool = False) -> list[ModelMetadata]:
        return self.models


def word(rng: random.Random) -> str:
    return "".join(rng.choices(SYLLABLES, k=3))


def made(number: int, rng: random.Random) -> ModelMetadata:
    subject = f"{word(rng)} {word(rng)}"
    outfit = f"{rng.choice(EVERYDAY)} {word(rng)}"
    everyday = rng.sample(EVERYDAY, 10)
    return ModelMetadata(
        model_id=f"lora:{number}.safetensors",
        name=f"{subject.replace(' ', '_')}_v{number % 4}",
        local_path=f"/loras/{number}.safetensors",
        architecture=Architecture.SDXL,
        lora_kind=rng.choice([LoRAKind.CHARACTER, LoRAKind.STYLE, LoRAKind.CONCEPT, LoRAKind.UNKNOWN]),
        trigger_sets=(TriggerSet((subject, outfit), "made"), TriggerSet((subject, rng.choice(EVERYDAY)), "made")),
        tags={tag: rng.randint(1, 60) for tag in (subject, *everyday)},
        description=" ".join(rng.choices(EVERYDAY, k=25)),
        example_prompts=tuple(
            ExamplePrompt(", ".join((subject, *rng.choices(EVERYDAY, k=8))), rng.choice((0.6, 0.8, 1.0)))
            for _ in range(4)
        ),
    )


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--count", type=int, default=1000)
    arguments.add_argument("--queries", type=int, default=200)
    options = arguments.parse_args()
    rng = random.Random(0)
    library = MadeLibrary(options.count, rng)
    analyzer, recommender = PromptAnalyzer(), LoRARecommender(library)
    start = time.perf_counter()
    recommender.rank(analyzer.analyze("warm up"), SDXL)
    build = time.perf_counter() - start
    first = tenth = right = picked = silent = 0
    times = []
    for _ in range(options.queries):
        everyday = rng.sample(EVERYDAY, 8)
        target = rng.choice(library.models)
        called = [rng.choice((target.trigger_sets[0].words[0], target.name)), *everyday]
        rng.shuffle(called)
        start = time.perf_counter()
        analysis = analyzer.analyze(", ".join(called))
        chosen = recommender.recommend(analysis, SDXL)
        times.append((time.perf_counter() - start) * 1000)
        names = [found.lora_name for found in recommender.rank(analysis, SDXL, 10)]
        first += names[:1] == [target.name]
        tenth += target.name in names
        picked += len(chosen)
        right += sum(lora.lora_name == target.name for lora in chosen)
        idle = recommender.recommend(analyzer.analyze(", ".join(rng.sample(EVERYDAY, 8))), SDXL)
        picked += len(idle)
        silent += not idle
    queries = options.queries
    report(
        {
            "loras": options.count,
            "queries": queries,
            "recall_at_1": first / queries,
            "recall_at_10": tenth / queries,
            "precision_of_picks_half_present": right / picked if picked else None,
            "picks_per_query": picked / (2 * queries),
            "silent_when_none_fits": silent / queries,
            "build_seconds": build,
            "analyze_and_recommend_median_ms": statistics.median(times),
            "analyze_and_recommend_p95_ms": statistics.quantiles(times, n=20)[-1],
        },
        options.json,
    )


if __name__ == "__main__":
    main()
