"""Size and speed of learning.db: python -m tests.benchmarks.learning_store --generations 100000 --ratings 10000 --json

Generations are whole records of today's fields: three new prompts in ten, seeds, settings, LoRAs and times that vary.
They go in by the store's own insertion, in large transactions; everything measured goes through `LearningEngine`.
"""

from __future__ import annotations

import copy
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from intelligence import Generation, LearningEngine
from intelligence.learning import rating_rows
from intelligence.learning.generation_rows import GenerationRow, insert
from intelligence.learning.observations import LoRATraits
from intelligence.learning.rating_rows import Rating
from tests.benchmarks.report import parser, report

SAMPLE = Path(__file__).parents[1] / "fixtures" / "v0.1.0" / "Generation.json"
NEW_PROMPTS = 0.3
LORAS, WORDS, SETTINGS = 200, 5000, 40
BATCH = 500
UPDATES = 40
STEP_MS = 30_000
"""Between two generations."""


def generations(number: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Yield the JSON of whole generations."""
    sample = Generation.from_dict(json.loads(SAMPLE.read_text(encoding="utf-8"))).to_dict()
    words = [
        "".join(rng.choices("bcdfghklmnprst", k=1) + rng.choices("aeiouy", k=1)) * rng.randint(1, 3)
        for _ in range(WORDS)
    ]
    metadata = [
        {"model_id": f"lora:{rng.choice(words)}_{n}.safetensors", "name": f"{rng.choice(words)}_{n}"}
        for n in range(LORAS)
    ]
    for one in metadata:
        one["sha256"] = rng.randbytes(32).hex()
    settings = [
        (rng.randint(8, 40), rng.choice((3.5, 5.0, 7.0)), rng.choice((832, 1024, 1216))) for _ in range(SETTINGS)
    ]
    stage: dict[str, Any] = {}
    for _ in range(number):
        if not stage or rng.random() < NEW_PROMPTS:
            stage = _stage(sample["plan"]["recommendations"], words, metadata, rng)
        name = rng.randbytes(16).hex()
        data = {**sample, "id": name, "image_ids": [f"{name}-0"], "seeds": [rng.getrandbits(32)], "run_id": _uuid(rng)}
        data["generation_time_seconds"] = rng.uniform(5, 60)
        data["image_digests"] = [rng.randbytes(8).hex()]
        steps, cfg, side = rng.choice(settings)
        chosen = {
            **stage["suggested_params"],
            "num_steps": steps,
            "guidance_scale": cfg,
            "width": side,
            "estimated_time_seconds": rng.uniform(5, 60),
        }
        memory = {**sample["plan"]["memory"], "budget_gb": rng.uniform(8, 20)}
        stages = {"recommendations": {**stage, "suggested_params": chosen}, "memory": memory}
        yield {**data, "plan": {**sample["plan"], **stages}}


def _stage(
    sample: dict[str, Any], words: list[str], metadata: list[dict[str, str]], rng: random.Random
) -> dict[str, Any]:
    stage = copy.deepcopy(sample)
    prompt = ", ".join(" ".join(rng.choices(words, k=rng.randint(1, 4))) for _ in range(6))
    stage["prompt_analysis"] |= {
        "prompt": prompt,
        "text": prompt,
        "concepts": {"content": rng.choices(words, k=4), "style": rng.choices(words, k=1)},
    }
    stage["prompt"] = f"{prompt}, {rng.choice(words)}"
    loras = stage["suggested_loras"]
    for lora, facts in zip(loras, rng.sample(metadata, len(loras)), strict=True):
        lora["lora_metadata"] |= facts
        lora |= {"lora_name": facts["name"], "confidence_score": round(rng.random(), 3), "suggested_alpha": 0.8}
    return stage


def fill(path: Path, number: int, ratings: int, rng: random.Random) -> None:
    """Write a database of `number` generations, of which `ratings` are rated."""
    with closing(LearningEngine(path)) as engine:
        engine.counts()
        now = time.time_ns() // 1_000_000 - number * STEP_MS
        waiting = generations(number, rng)
        for start in range(0, number, BATCH):
            with engine.database.transaction() as db:
                for place, data in zip(range(start, min(number, start + BATCH)), waiting, strict=False):
                    stage = data["plan"]["recommendations"]
                    loras = [lora["lora_metadata"]["model_id"] for lora in stage["suggested_loras"]]
                    concepts = [word for each in stage["prompt_analysis"]["concepts"].values() for word in each]
                    strengths = [lora["suggested_alpha"] for lora in stage["suggested_loras"]]
                    made = now + place * STEP_MS
                    data["created_at"] = datetime.fromtimestamp(made // 1000, UTC).isoformat(timespec="seconds")
                    row = GenerationRow(
                        data["id"], data["image_ids"], data, loras, concepts, strengths, data["run_id"], made
                    )
                    key = insert(db, row)
                    if place * ratings // number != (place + 1) * ratings // number:
                        rating_rows.put(db, Rating(key, 0, rng.randint(1, 5), "", made))


def measure(path: Path) -> dict[str, float]:
    """Return size and times of a filled database, opened anew."""
    with closing(LearningEngine(path)) as engine:
        started = time.perf_counter()
        started_cpu = time.process_time()
        preferences = engine.preferences()
        preferences.model(_no_traits, "library").noise.sum()
        state, state_cpu = time.perf_counter() - started, time.process_time() - started_cpu
        count = len(preferences)
        counts = engine.counts()
        ids = [stored.generation_id for stored in engine.list_generations(UPDATES)]
        updates = _median(lambda name: engine.record_feedback(name, 4), ids)
        removals = _median(engine.remove_feedback, ids)
        renewals = [_renewal(engine, name) for name in ids]
        records = _median(
            lambda data: engine.record_generation(data["id"], data["image_ids"], data, run_id=data["run_id"]),
            list(generations(UPDATES, random.Random(1))),
        )
    fsync = _fsync_ms(path.parent)
    size = path.stat().st_size
    return {
        "generations": counts.generations,
        "ratings": counts.ratings,
        "ratings_in_state": count,
        "megabytes": round(size / 1e6, 1),
        "megabytes_a_million": round(size / counts.generations, 1),
        "state_ready_ms": round(state * 1e3, 1),
        "state_ready_processor_ms": round(state_cpu * 1e3, 1),
        "rate_ms": updates,
        "take_back_ms": removals,
        "model_after_a_star_processor_ms": round(statistics.median(renewals) * 1e3, 2),
        "record_ms": records,
        "fsync_ms": fsync,
    }


def _renewal(engine: LearningEngine, name: str) -> float:
    """Rate a generation; return the processor seconds of what the next choice then reads anew."""
    engine.record_feedback(name, 4)
    started = time.process_time()
    engine.preferences().model(_no_traits, "library").noise.sum()
    return time.process_time() - started


def _no_traits(_: str) -> LoRATraits:
    return LoRATraits()


def _median(call: Callable[[Any], object], values: list[Any]) -> float:
    times = []
    for value in values:
        started = time.perf_counter()
        call(value)
        times.append(time.perf_counter() - started)
    return round(statistics.median(times) * 1e3, 2)


def _fsync_ms(folder: Path) -> float:
    """Return the median time of a page's write to the disk."""
    with (folder / "fsync").open("wb", buffering=0) as file:

        def write(_: object) -> None:
            file.write(bytes(4096))
            os.fsync(file.fileno())

        return _median(write, [None] * UPDATES)


def _uuid(rng: random.Random) -> str:
    text = rng.randbytes(16).hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--generations", type=int, default=100_000)
    options.add_argument("--ratings", type=int, default=10_000)
    options.add_argument("--folder", help="keeps the database there (default: a temporary folder)")
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(args.folder or temporary, "learning.db")
        if not path.exists():
            fill(path, args.generations, args.ratings, random.Random(0))
        report(measure(path), args.json)


if __name__ == "__main__":
    main()
