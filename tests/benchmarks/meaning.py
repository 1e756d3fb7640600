"""Measures meaning beside words: python -m tests.benchmarks.meaning --records DIR --captions CSV --json

Records with odd numbers, of which nothing was trained. Prompts of named kinds (tests/benchmarks/choice_paraphrases.py)
are asked of one library, with meaning and without, through `LoRARecommender.choose` with the default preferences:

  KIND_prompts         how many
  KIND_applied         right LoRAs that AUTO applies, a prompt; KIND_wrong: wrong ones
  KIND_in_first_eight  share of prompts whose LoRA stands in the list that ASSISTED shows; KIND_in_first_five
  meaning_…            the same with meaning
  …_ms                 processor time of a choice, median and 95th percentile
  build_seconds        processor time of embedding the library
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from intelligence.lora import LoRARecommender
from intelligence.lora.lora_library import Library
from intelligence.lora.recommender import MAX_OFFERED
from intelligence.lora.search.embeddings import EmbeddingStore
from intelligence.lora.search.naming import STRONG, naming_phrases
from intelligence.lora.search.tokens import tokens
from intelligence.prompt import PromptAnalyzer
from tests.benchmarks.choice_paraphrases import PARAPHRASES, SPANISH_EVERYDAY, SPANISH_NAMES
from tests.benchmarks.choice_templates import ASKS, LONG_TAILS, SPANISH_TAILS
from tests.benchmarks.choice_world import load_plain
from tests.benchmarks.civitai import SD1, CivitaiLoRA, load_records
from tests.benchmarks.corpus import Corpus, Shelf
from tests.benchmarks.report import parser, report

SPANISH = ("una foto de {}", "una imagen de {}", "dibuja {}", "una chica con {}", "{}")
MAX_OF_NAME = 3
"""Records of one name that stand in the library."""
Query = tuple[str, str, frozenset[str]]
"""Kind, prompt, ids of the LoRAs that are right."""


class Asked(LoRARecommender):
    """A user's recommender over a given library."""

    def __init__(self, library: Library, meaning: bool) -> None:
        super().__init__(Shelf([]), dense_text=meaning)
        self.library = library

    def _library(self) -> Library:
        return self.library


def named(loras: Sequence[CivitaiLoRA]) -> dict[str, list[CivitaiLoRA]]:
    """Return the names of the lists that LoRAs have, each with those LoRAs."""
    by_key: defaultdict[str, list[CivitaiLoRA]] = defaultdict(list)
    for lora in loras:
        for key in {"".join(phrase) for source, phrase in naming_phrases(lora.model) if source in STRONG}:
            by_key[key].append(lora)
    names = sorted({*PARAPHRASES, *SPANISH_NAMES})
    return {name: by_key[key][:MAX_OF_NAME] for name in names if by_key.get(key := "".join(tokens(name)))}


def queries(names: dict[str, list[CivitaiLoRA]], plain: Sequence[str], rng: random.Random) -> list[Query]:
    """Return prompts that name a LoRA in English and in Spanish, that describe it, and that want none."""
    found: list[Query] = []
    for name, loras in names.items():
        right = frozenset(lora.model.model_id for lora in loras)
        found.append(("named", f"{rng.choice(ASKS).format(f'a {name}')}, {rng.choice(LONG_TAILS).lower()}", right))
        if spanish := SPANISH_NAMES.get(name):
            text = f"{rng.choice(SPANISH).format(spanish)} {rng.choice(SPANISH_TAILS)}"
            found.append(("spanish_named", text, right))
        for phrase in PARAPHRASES.get(name, ((), ()))[0]:
            found.append(("described", rng.choice(ASKS).format(phrase), right))
        for phrase in PARAPHRASES.get(name, ((), ()))[1]:
            found.append(("spanish_described", f"{phrase} {rng.choice(SPANISH_TAILS)}", right))
    found += [("everyday", text, frozenset()) for text in plain]
    found += [("spanish_everyday", f"{one} {rng.choice(SPANISH_TAILS)}", frozenset()) for one in SPANISH_EVERYDAY]
    return found


def figures_of(library: Library, asked: Sequence[Query], *, meaning: bool) -> dict[str, float]:
    """Return the figures of all kinds, and the time of a choice."""
    recommender, analyzer = Asked(library, meaning), PromptAnalyzer()
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    taken = []
    for kind, prompt, right in asked:
        analysis = analyzer.analyze(prompt)
        started = time.process_time()
        chosen = recommender.choose(analysis, SD1).chosen
        taken.append((time.process_time() - started) * 1000)
        shown = recommender.choose(analysis, SD1, nearest=MAX_OFFERED)
        ids = [one.lora_metadata.model_id for one in shown.chosen] + [f"lora:{one.lora}" for one in shown.nearest]
        applied = [one.lora_metadata.model_id in right for one in chosen]
        tally = sums[kind]
        tally["prompts"] += 1
        tally["applied"] += sum(applied)
        tally["wrong"] += len(applied) - sum(applied)
        for name, count in (("five", 5), ("eight", MAX_OFFERED)):
            tally[f"in_first_{name}"] += bool(right.intersection(ids[:count]))
    prefix = "meaning_" if meaning else ""
    figures = {
        f"{prefix}{kind}_{name}": value / tally["prompts"] if name != "prompts" else value
        for kind, tally in sums.items()
        for name, value in tally.items()
    }
    figures[f"{prefix}choose_median_ms"] = statistics.median(taken)
    figures[f"{prefix}choose_p95_ms"] = statistics.quantiles(taken, n=20)[-1]
    return figures


def main() -> None:
    arguments = parser((__doc__ or "").partition("\n")[0])
    arguments.add_argument("--records", required=True, help="folder of CivitAI model records")
    arguments.add_argument("--captions", required=True, help="coco_rank.csv")
    arguments.add_argument("--others", type=int, default=500, help="further LoRAs in the library")
    arguments.add_argument("--everyday", type=int, default=150, help="captions that want nothing")
    options = arguments.parse_args()
    rng = random.Random(4)
    loras = load_records(options.records, "odd")
    names = named(loras)
    inside = {lora.number: lora for found in names.values() for lora in found}
    inside |= {lora.number: lora for lora in rng.sample(loras, min(options.others, len(loras)))}
    plain = [text for text, _ in load_plain(options.captions, None, odd_rows=False)]
    asked = queries(names, rng.sample(plain, min(options.everyday, len(plain))), rng)
    corpus = Corpus([*inside.values()])
    with tempfile.TemporaryDirectory() as folder:
        corpus._meaning = EmbeddingStore(corpus.models, Path(folder) / "meaning.db")
        started = time.process_time()
        figures: dict[str, float] = {"loras": len(corpus.models), "embedded": corpus.build_meaning()}
        figures["build_seconds"] = time.process_time() - started
        figures |= figures_of(corpus, asked, meaning=False) | figures_of(corpus, asked, meaning=True)
    report(figures, options.json)


if __name__ == "__main__":
    main()
