"""How well and how fast LoRAs are found: python -m tests.benchmarks.retrieval --records DIR --captions CSV --json

Queries (see tests/benchmarks/civitai.py), each asked of all records' LoRAs, without its own prompt and near-duplicates
among what they know:
  a         prompts with one LoRA, whole
  b         the same without any word of the LoRA's trigger words, file name and title
  c         prompts with two LoRAs or more: share of them among the first five
  captions  sentences, labelled by a language model (incompletely): share of the labelled among the first ten
  a bare    a, where no LoRA has example prompts
"auto" is what AUTO applies (`LoRARecommender.choose` with the default preferences), every prompt asked twice: with its
LoRAs in the library, and without them, when every pick is wrong; the same from other confidences on. Small libraries
("own") are asked likewise, of LoRAs of which all is known, all but example prompts, name and training captions, or the
name alone.

Without --records a made library is asked, of invented subjects: its figures watch for setbacks and say nothing of how a
person's library fares.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from intelligence.config import LoRAPreferences
from intelligence.lora import LoRARecommender
from intelligence.lora.search import ranker
from intelligence.lora.search.index import arrays_of, load, save
from intelligence.lora.search.tokens import prompt_query
from intelligence.models import Architecture, ExamplePrompt, LoRAKind, ModelEvidence, ModelMetadata, TriggerSet
from intelligence.prompt import PromptAnalyzer
from tests.benchmarks.civitai import (
    SD1,
    CivitaiLoRA,
    PromptQuery,
    in_ids,
    load_captions,
    load_records,
    multi_queries,
    tag_queries,
    without_duplicates,
    without_names,
)
from tests.benchmarks.corpus import Chooser, Corpus, Shelf, bare
from tests.benchmarks.report import parser, report

DEFAULT = LoRAPreferences()
THRESHOLDS = (0.5, 0.6, 0.7, 0.8)
LIBRARIES = ((50, 40), (200, 10), (1000, 2))
"""Size of a random library, and how many are drawn."""
PEOPLE, ASKED = (5, 20, 50, 200), 100
"""Sizes of small libraries, and prompts asked of each kind."""
SCALES = (7_230, 30_000, 100_000)
ANALYZER = PromptAnalyzer()

EVERYDAY = [
    *("1girl", "solo", "smile", "dress", "armor", "sword", "forest", "castle", "night", "city", "street", "portrait"),
    *("fantasy", "anime", "magic", "cyberpunk", "dragon", "rain", "snow", "beach", "sunset", "hair", "eyes", "jacket"),
    *("flowers", "wings", "fire", "neon", "robot", "cat", "horse", "window", "moon", "bokeh", "sketch", "watercolor"),
]
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "ar", "el", "in", "or", "un")]
SDXL = ModelEvidence(name="made", architecture=Architecture.SDXL)


Figures = dict[str, float | None]


def ranked(corpus: Corpus, query: PromptQuery) -> list[int]:
    """Record numbers, best first."""
    analysis = ANALYZER.analyze(query.prompt)
    asked = corpus.asked(query)
    postings = asked.match_query(prompt_query(analysis))
    found = ranker.rank(postings, analysis.tag_style)
    return [corpus.numbers[place] for place in found.loras]


def found_share(corpus: Corpus, queries: Sequence[PromptQuery], depths: Sequence[int]) -> dict[int, float]:
    """Depth → mean share of a query's LoRAs among the first so many."""
    total = dict.fromkeys(depths, 0.0)
    for query in queries:
        numbers = ranked(corpus, query)
        for depth in depths:
            total[depth] += len(set(query.records) & set(numbers[:depth])) / len(query.records)
    return {depth: value / len(queries) if queries else 0.0 for depth, value in total.items()}


def auto(corpus: Corpus, queries: Sequence[PromptQuery], name: str) -> Figures:
    """What is applied: share that is right, and how many a prompt, with the LoRA in the library and without."""
    picks: dict[float, list[bool]] = {threshold: [] for threshold in (DEFAULT.min_confidence, *THRESHOLDS)}
    told: list[tuple[float, bool]] = []
    for query in queries:
        analysis = ANALYZER.analyze(query.prompt)
        for present in (True, False):
            asked = corpus.asked(query, present=present)
            chooser = Chooser(asked)
            for threshold, found in picks.items():
                chosen = chooser.choose(analysis, SD1, DEFAULT.max_loras, threshold).chosen
                found += [one.lora_metadata.model_id in asked.right for one in chosen]
            best = chooser.rank(analysis, SD1, DEFAULT.max_loras)
            told += [(one.confidence_score, one.lora_metadata.model_id in asked.right) for one in best]
    figures: Figures = {}
    for threshold, found in picks.items():
        precision, share = (sum(found) / len(found) if found else None), len(found) / max(1, 2 * len(queries))
        figures |= {f"{name}_precision_at_{threshold:g}": precision, f"{name}_picks_per_prompt_at_{threshold:g}": share}
        if threshold == DEFAULT.min_confidence:
            figures |= {f"auto_{name}_precision": precision, f"auto_{name}_picks_per_prompt": share}
    for low, high in ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.01)):
        inside = [(p, right) for p, right in told if low <= p < high]
        if inside:
            figures[f"{name}_told_{low:g}_to_{min(high, 1):g}"] = statistics.fmean(p for p, _ in inside)
            figures[f"{name}_true_{low:g}_to_{min(high, 1):g}"] = statistics.fmean(right for _, right in inside)
    return figures


def libraries(loras: Sequence[CivitaiLoRA], ids: str) -> Figures:
    """Prompts of kind a in random libraries that hold their LoRA."""
    figures: Figures = {}
    for size, count in LIBRARIES:
        rng = random.Random(size)
        shares: dict[int, list[float]] = {1: [], 5: []}
        for _ in range(count):
            inside = rng.sample(list(loras), min(size, len(loras)))
            corpus = Corpus(inside)
            queries = tag_queries([lora for lora in inside if in_ids(lora.number, ids)], 1)
            for query in rng.sample(queries, min(100, len(queries))):
                numbers = ranked(corpus, query)
                for depth, hits in shares.items():
                    hits.append(float(query.records[0] in numbers[:depth]))
        figures |= {f"library_{size}_recall_at_{d}": statistics.fmean(hits) for d, hits in shares.items() if hits}
    return figures


def people(loras: Sequence[CivitaiLoRA], ids: str) -> Figures:
    """What `recommend` takes in small libraries that know much or little of their LoRAs, one of them right or none."""
    figures: Figures = {}
    rng = random.Random(3)
    chosen = [lora for lora in loras if in_ids(lora.number, ids) and tag_queries([lora], 1)]
    for size in PEOPLE:
        for how in ("whole", "examples", "captions", "name"):
            first: list[bool] = []
            picks: list[bool] = []
            for turn in range(ASKED):
                lora, present = rng.choice(chosen), turn % 2
                (query,) = tag_queries([lora], 1)
                inside = rng.sample(loras, min(size, len(loras)))
                models = [other.model for other in inside if other is not lora][: size - present]
                models += [without_duplicates(lora.model, query.prompt)] * present
                known = models if how == "whole" else [bare(model, how) for model in models]
                analysis, recommender = ANALYZER.analyze(query.prompt), LoRARecommender(Shelf(known))
                wanted = lora.model.model_id if present else None
                best = recommender.rank(analysis, SD1, 1)
                first += [bool(best) and best[0].lora_metadata.model_id == wanted] * present
                applied = recommender.choose(analysis, SD1).chosen
                picks += [one.lora_metadata.model_id == wanted for one in applied]
            name = f"own_{size}_{how}"
            figures[f"{name}_recall_at_1"] = statistics.fmean(first)
            figures[f"{name}_precision"] = statistics.fmean(picks) if picks else None
            figures[f"{name}_picks_per_prompt"] = len(picks) / ASKED
    return figures


def times(models: Sequence[ModelMetadata], prompts: Sequence[str], base: ModelEvidence) -> Figures:
    """Milliseconds of analyse + recommend, one after the other, warm; and of the processor alone."""
    recommender = LoRARecommender(Shelf(models))
    taken, worked = [], []
    for prompt in (*prompts[:20], *prompts):
        start, started = time.perf_counter(), time.process_time()
        recommender.recommend(ANALYZER.analyze(prompt), base)
        taken.append((time.perf_counter() - start) * 1000)
        worked.append((time.process_time() - started) * 1000)
    return {
        "median_ms": statistics.median(taken[20:]),
        "p95_ms": statistics.quantiles(taken[20:], n=20)[-1],
        "processor_p95_ms": statistics.quantiles(worked[20:], n=20)[-1],
    }


def enlarged(models: Sequence[ModelMetadata], count: int) -> list[ModelMetadata]:
    """As many LoRAs: copies with names and trigger words of their own."""
    copies = [*models]
    for number in range(len(models), count):
        model, mark = models[number % len(models)], f"q{number}"
        sets = tuple(TriggerSet((*item.words, f"{item.words[0]} {mark}"), "copy") for item in model.trigger_sets)
        copies.append(
            replace(model, model_id=f"lora:{mark}.safetensors", name=f"{model.name} {mark}", trigger_sets=sets)
        )
    return copies[:count]


def index_figures(models: Sequence[ModelMetadata]) -> Figures:
    """Seconds to build and to load the index, and its size."""
    start = time.perf_counter()
    index = ranker.build_index(models)
    built = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.npz"
        save(index, path, "made")
        start = time.perf_counter()
        load(path, "made")
        loaded = time.perf_counter() - start
    size = sum(array.nbytes for array in arrays_of(index).values())
    return {"index_mb": size / 1e6, "index_build_seconds": built, "index_load_seconds": loaded}


def of_records(folder: str, captions: str | None, ids: str, most: int, scales: Sequence[int]) -> Figures:
    """Every figure of real records."""
    loras = load_records(folder)
    chosen = [lora for lora in loras if in_ids(lora.number, ids)]
    by_number = {lora.number: lora for lora in loras}
    rng = random.Random(0)
    whole = rng.sample(found := tag_queries(chosen), min(most, len(found)))
    stripped = [query for one in whole if (query := without_names(one, by_number))]
    several = multi_queries(chosen, 4)
    corpus = Corpus(loras)
    figures: Figures = {"loras": len(loras), "queries": len(whole), "queries_c": len(several)}
    for name, queries, depths in (("a", whole, (1, 5, 10)), ("b", stripped, (1, 10)), ("c", several, (5, 10))):
        figures |= {f"{name}_recall_at_{d}": v for d, v in found_share(corpus, queries, depths).items()}
    figures |= auto(corpus, whole, "tags")
    if captions:
        own = {lora.number for lora in chosen}
        sentences = load_captions(captions, own, even_rows=ids != "even")
        unseen = sentences
        if ids == "odd":  # of the rows that numbers are trained on, those whose labels have not been seen there
            unseen = [*sentences, *(q for q in load_captions(captions, own, even_rows=False) if not q.others)]
        figures |= {"queries_captions": len(sentences), "queries_captions_auto": len(unseen)}
        figures |= {f"captions_recall_at_{d}": v for d, v in found_share(corpus, sentences, (1, 10)).items()}
        figures |= auto(corpus, unseen, "captions")
    without = Corpus(loras, [bare(lora.model, "examples") for lora in loras])
    share = found_share(without, whole[: most // 2], (1, 10))
    figures |= {f"a_bare_recall_at_{d}": v for d, v in share.items()}
    figures |= libraries(loras, ids) | people(loras, ids)
    models = [lora.model for lora in loras]
    figures |= index_figures(models)
    prompts = [query.prompt for query in whole[:300]]
    for scale in scales:
        figures |= {f"at_{scale}_{n}": v for n, v in times(enlarged(models, scale), prompts, SD1).items()}
    return figures


def word(rng: random.Random) -> str:
    return "".join(rng.choices(SYLLABLES, k=3))


def made(number: int, rng: random.Random) -> ModelMetadata:
    """An invented LoRA."""
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


def of_made(count: int, queries: int) -> Figures:
    """The figures of a made library."""
    rng = random.Random(0)
    models = [made(number, rng) for number in range(count)]
    recommender = LoRARecommender(Shelf(models))
    first = tenth = right = picked = silent = 0
    prompts = []
    for _ in range(queries):
        target = rng.choice(models)
        called = [rng.choice((target.trigger_sets[0].words[0], target.name)), *rng.sample(EVERYDAY, 8)]
        rng.shuffle(called)
        prompts.append(", ".join(called))
        analysis = ANALYZER.analyze(prompts[-1])
        chosen = [lora.lora_name for lora in recommender.recommend(analysis, SDXL)]
        names = [found.lora_name for found in recommender.rank(analysis, SDXL, 10)]
        first += names[:1] == [target.name]
        tenth += target.name in names
        picked += len(chosen)
        right += target.name in chosen
        idle = recommender.recommend(ANALYZER.analyze(", ".join(rng.sample(EVERYDAY, 8))), SDXL)
        picked += len(idle)
        silent += not idle
    return {
        "loras": count,
        "queries": queries,
        "recall_at_1": first / queries,
        "recall_at_10": tenth / queries,
        "precision_of_picks_half_present": right / picked if picked else None,
        "picks_per_query": picked / (2 * queries),
        "silent_when_none_fits": silent / queries,
        **index_figures(models),
        **times(models, prompts, SDXL),
    }


def main() -> None:
    arguments = parser((__doc__ or "").partition("\n")[0])
    arguments.add_argument("--records", help="folder of CivitAI model records")
    arguments.add_argument("--captions", help="coco_rank.csv")
    arguments.add_argument("--ids", choices=("even", "odd", "all"), default="odd")
    arguments.add_argument("--queries", type=int, default=2000, help="prompts of kind a that are drawn")
    arguments.add_argument("--scales", type=int, nargs="*", default=SCALES, help="LoRAs at which time is taken")
    arguments.add_argument("--count", type=int, default=1000, help="LoRAs of the made library")
    options = arguments.parse_args()
    if options.records:
        figures = of_records(options.records, options.captions, options.ids, options.queries, options.scales)
    else:
        figures = of_made(options.count, min(200, options.queries))
    report(figures, options.json)


if __name__ == "__main__":
    main()
