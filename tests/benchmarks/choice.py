"""Right and wrong LoRAs that are applied: python -m tests.benchmarks.choice --records DIR --json [--quick]

Every figure goes through `LoRARecommender.choose` and `rank` with the default preferences; `--records` is a folder of
CivitAI model records, of which odd numbers are reported (see tests/benchmarks/civitai.py), `--captions` and `--prompts`
CSV files of captions and natural prompts (even rows). Prompts of each kind are made as choice_queries.py says, from
records and captions that no number was trained on. Each kind has a line, with its count:

  KIND_precision, KIND_recall   of what is applied, of what is asked for, in libraries of 3 LoRAs to all of them
  KIND_left_alone               share of prompts that want nothing and get nothing (`negated`: not what they rule out)
  records_*                     prompts of images, their one LoRA in a library of 1,000 or not, only that one right;
                                `with_named`: others whose name stands in full in the prompt are right too
  rank_*                        place of that LoRA among those of odd numbers and among all; `bare`: of prompts
                                without any of its names
  fresh_*, once_*, held_*       sentences by other hands, of libraries of 357 and 400 (choice_labelled.py)
  told_*, true_*                confidence and share that is right, by size of the library and fifth
  *_ms                          processor time of `choose`

`--library FOLDER --labels FILE` asks labelled prompts of a folder of LoRAs: FILE is Python that makes a list `P` of
mappings with `kind`, `text`, `must` (file names that are wanted, alternatives parted by |) and `ok` (those that do no
harm). Whole, and random parts of it.
"""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from intelligence.config import LoRAPreferences
from intelligence.lora import LoRARecommender
from intelligence.lora.search.decision import decision
from intelligence.lora.search.naming import STRONG, naming_phrases
from intelligence.lora.search.tokens import prompt_query
from intelligence.lora.target_model import TargetModel
from intelligence.models import ModelMetadata
from intelligence.prompt import PromptAnalyzer
from intelligence.records import Reason
from tests.benchmarks.choice_labelled import FRESH, HELD, ONCE, SAVED, Figures, fresh_figures, labelled_figures, ratio
from tests.benchmarks.choice_queries import make
from tests.benchmarks.choice_world import Made, World, load_plain
from tests.benchmarks.civitai import SD1, CivitaiLoRA, PromptQuery, load_records, tag_queries, without_names
from tests.benchmarks.corpus import Chooser, Corpus, Shelf
from tests.benchmarks.report import parser, report
from tests.benchmarks.retrieval import enlarged

ANALYZER = PromptAnalyzer()
ASKED = {
    "sentence": 150,
    "long": 80,
    "spanish": 80,
    "partial": 60,
    "tags": 150,
    "several": 120,
    "everyday": 200,
    "everyday_long": 60,
    "everyday_tags": 100,
    "held": 60,
    "sibling": 100,
    "misspelt": 60,
    "joined": 60,
    "loose": 60,
    "ordinary": 100,
    "negated": 320,
    "twin": 120,
}
"""Kind → prompts."""
SIZES = ((3, 11), (11, 51), (51, 401), (401, 10_000))
FIFTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.01)


class Part(Corpus):
    """Some of a library's LoRAs. Args: allowed: which."""

    def __init__(self, corpus: Corpus, allowed: NDArray[np.bool_]) -> None:
        vars(self).update(vars(corpus))
        self.allowed = allowed

    def incompatibilities(self, base: TargetModel) -> tuple[list[Reason | None], NDArray[np.bool_]]:
        reasons, fitting = super().incompatibilities(base)
        return reasons, fitting & self.allowed


def drawn(corpus: Corpus, made: Made, rng: random.Random) -> NDArray[np.bool_]:
    """Which LoRAs stand in the library of a made query."""
    count = len(corpus.models)
    allowed = np.zeros(count, bool)
    allowed[rng.sample(range(count), min(count, int(np.exp(rng.uniform(np.log(3), np.log(count))))))] = True
    for numbers, here in ((made.near, True), (made.wanted, True), (made.absent, False)):
        allowed[[corpus.place[number] for number in numbers[:20] if number in corpus.place]] = here
    return allowed


def made_figures(world: World, corpus: Corpus, rng: random.Random, asked: dict[str, int]) -> Figures:
    """Applied LoRAs of made queries, by kind, and confidence against truth, by the library's size."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    told: defaultdict[tuple[int, int], list[tuple[float, bool]]] = defaultdict(list)
    for made in make(world, asked):
        allowed = drawn(corpus, made, rng)
        chooser, analysis = Chooser(Part(corpus, allowed)), ANALYZER.analyze(made.text)
        right = world.same_subjects(made)
        for name, least in ((made.kind, LoRAPreferences.min_confidence), (f"{made.kind} at .70", SAVED)):
            chosen = chooser.choose(analysis, SD1, min_confidence=least).chosen
            numbers = [corpus.numbers[corpus.models.index(one.lora_metadata)] for one in chosen]
            judged = [number for number in numbers if number not in made.open]
            tally = counts[name]
            tally["prompts"] += 1
            tally["wanted"] += len(made.wanted)
            tally["applied"] += len(judged)
            tally["right"] += sum(number in right for number in judged)
            tally["found"] += sum(bool(world.alike(number) & {*numbers}) for number in made.wanted)
            unwanted = {other for number in made.near for other in world.alike(number)}
            tally["silent"] += not (unwanted & {*numbers} if made.kind == "negated" else judged)
        for one in chooser.rank(analysis, SD1, 20):
            number = corpus.numbers[corpus.models.index(one.lora_metadata)]
            if number not in made.open:
                size = next(n for n, (_, most) in enumerate(SIZES) if allowed.sum() < most or n == len(SIZES) - 1)
                fifth = int(np.searchsorted(FIFTHS, one.confidence_score, "right")) - 1
                told[size, fifth].append((one.confidence_score, number in right))
    figures: Figures = {}
    for kind, tally in counts.items():
        name = kind.replace(" ", "_")
        figures[f"{name}_prompts"] = tally["prompts"]
        if tally["wanted"]:
            figures[f"{name}_precision"] = ratio(tally["right"], tally["applied"])
            figures[f"{name}_recall"] = ratio(tally["found"], tally["wanted"])
        else:
            figures[f"{name}_left_alone"] = tally["silent"] / tally["prompts"]
    for (size, fifth), rows in sorted(told.items()):
        if len(rows) >= 100 and fifth:
            name = f"{SIZES[size][0]}_to_{SIZES[size][1] - 1}_fifth_{fifth + 1}"
            figures |= {
                f"told_{name}": statistics.fmean(p for p, _ in rows),
                f"true_{name}": statistics.fmean(r for _, r in rows),
            }
    return figures


def record_figures(loras: Sequence[CivitaiLoRA], rng: random.Random, asked: int) -> Figures:
    """Prompts of images, asked of 1,000 LoRAs with the page's own among them and not."""
    figures: Figures = {}
    odd = [lora for lora in loras if not lora.even]
    queries = rng.sample(found := tag_queries(odd, 1), min(asked, len(found)))
    inside = {lora.number: lora for lora in rng.sample(odd, min(1000, len(odd)))}
    inside |= {lora.number: lora for lora in odd if lora.number in {query.records[0] for query in queries}}
    corpus = Corpus(list(inside.values())[-1000:])
    queries = [query for query in queries if query.records[0] in corpus.place]
    for least in (LoRAPreferences.min_confidence, 0.5, 0.6, SAVED, 0.8):
        applied = right = named = 0
        for query in queries:
            analysis = ANALYZER.analyze(query.prompt)
            keys = prompt_query(analysis).keys
            for present in (True, False):
                library = corpus.asked(query, present=present)
                for one in Chooser(library).choose(analysis, SD1, min_confidence=least).chosen:
                    applied += 1
                    right += one.lora_metadata.model_id in library.right
                    named += one.lora_metadata.model_id not in library.right and is_named(one.lora_metadata, keys)
        name = f"records_at_{least:g}"
        figures |= {f"{name}_precision": ratio(right, applied), f"{name}_recall": ratio(right, len(queries))}
        figures[f"{name}_precision_with_named"] = ratio(right + named, applied)
        figures[f"{name}_picks_per_prompt"] = applied / (2 * len(queries))
    figures["records_prompts"] = 2 * len(queries)
    return figures


def is_named(model: ModelMetadata, keys: Container[str]) -> bool:
    """Return whether a prompt has a name of the LoRA in full: its title, file name or first trigger phrase."""
    return any(source in STRONG and "".join(phrase) in keys for source, phrase in naming_phrases(model))


def rank_figures(corpus: Corpus, loras: Sequence[CivitaiLoRA], rng: random.Random, asked: int, name: str) -> Figures:
    """Places of the LoRA that a person used, among all, by `rank`. Args: loras: those of the corpus."""
    by_number = {lora.number: lora for lora in loras}
    found = tag_queries([lora for lora in loras if not lora.even], 1)
    whole = rng.sample(found, min(asked, len(found)))
    bare = [query for one in whole if (query := without_names(one, by_number))]
    figures: Figures = {f"{name}_loras": len(loras)}
    for kind, queries in (("whole", whole), ("bare", bare)):
        places = []
        for query in queries:
            library = corpus.asked(query)
            ranked = Chooser(library).rank(ANALYZER.analyze(query.prompt), SD1, 10)
            ids = [one.lora_metadata.model_id for one in ranked]
            places.append(next((n for n, one in enumerate(ids) if one in library.right), 99))
        figures[f"{name}_{kind}_prompts"] = len(places)
        figures |= {f"{name}_{kind}_recall_at_{k}": statistics.fmean(place < k for place in places) for k in (1, 10)}
    return figures


def time_figures(models: Sequence[ModelMetadata], prompts: Sequence[str], sizes: Iterable[int]) -> Figures:
    """Processor milliseconds of reading a prompt and choosing."""
    figures: Figures = {}
    for size in sizes:
        recommender = LoRARecommender(Shelf(enlarged(models, size)))
        taken = []
        for prompt in (*prompts[:20], *prompts):
            started = time.process_time()
            recommender.choose(ANALYZER.analyze(prompt), SD1)
            taken.append((time.process_time() - started) * 1000)
        figures[f"choose_{size}_median_ms"] = statistics.median(taken[20:])
        figures[f"choose_{size}_p95_ms"] = statistics.quantiles(taken[20:], n=20)[-1]
    return figures


def main() -> None:
    arguments = parser((__doc__ or "").partition("\n")[0])
    arguments.add_argument("--records", help="folder of CivitAI model records")
    arguments.add_argument("--captions", help="coco_rank.csv")
    arguments.add_argument("--prompts", help="parti_prompts.csv")
    arguments.add_argument("--library", help="folder of LoRAs")
    arguments.add_argument("--labels", help="Python file with the labelled prompts of --library")
    arguments.add_argument("--asked", type=int, default=300, help="prompts of images")
    arguments.add_argument("--quick", action="store_true", help="a part of the prompts, of fewer LoRAs")
    arguments.add_argument("--scales", type=int, nargs="*", default=(400, 7_230, 100_000), help="sizes to time")
    options = arguments.parse_args()
    figures: Figures = {}
    rng = random.Random(11)
    if options.library:
        figures |= labelled_figures(options.library, options.labels)
    if options.records:
        loras = load_records(options.records)
        odd = [lora for lora in loras if not lora.even]
        for file in (FRESH, ONCE, HELD):
            figures |= fresh_figures(loras, file)
        library = Corpus(odd)
        if options.captions:
            plain = load_plain(options.captions, options.prompts, odd_rows=False)
            sentences = [PromptQuery(text, right) for text, right in plain]
            world = World(odd, sentences, [text for text, _ in plain], rng, decision().series)
            asked = {kind: count // 6 if options.quick else count for kind, count in ASKED.items()}
            figures |= made_figures(world, library, rng, asked)
        count = options.asked // 5 if options.quick else options.asked
        figures |= record_figures(loras, rng, count)
        figures |= rank_figures(library, odd, rng, count, "rank_odd")
        if not options.quick:
            figures |= rank_figures(Corpus(loras), loras, rng, count, "rank_all")
        prompts = [query.prompt for query in tag_queries(odd, 1)[:300]]
        sizes = options.scales[:1] if options.quick else options.scales
        figures |= time_figures([lora.model for lora in loras], prompts, sizes)
    report(figures, options.json)


if __name__ == "__main__":
    main()
