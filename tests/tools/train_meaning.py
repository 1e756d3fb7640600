"""Train the numbers of meaning: python -m tests.tools.train_meaning --records DIR --captions CSV [--prompts CSV]

Reads records of even numbers, captions and natural prompts of odd rows alone. Its queries are sentences of the kinds of
tests/benchmarks/choice_queries.py, and other words for what LoRAs show (tests/benchmarks/choice_paraphrases.py), each
asked of a part of the records that is drawn for it. Writes meaning.json of lora/search. Needs scikit-learn, LightGBM
and the extra `meaning`. Takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

import intelligence.lora.search
from intelligence.config import LoRAPreferences
from intelligence.lora.recommender import MAX_JUDGED
from intelligence.lora.search import ranker
from intelligence.lora.search.decision import decision
from intelligence.lora.search.embeddings import EmbeddingStore
from intelligence.lora.search.meaning import EVIDENCE, MAX_TAG_STYLE, RISING, MeaningModel, compare, meaning_evidence
from intelligence.lora.search.naming import STRONG, naming_phrases
from intelligence.lora.search.naming_evidence import Matches, evidence
from intelligence.lora.search.sentence_encoder import Encoder, encoder
from intelligence.lora.search.spelling import corrected
from intelligence.lora.search.tokens import prompt_query, tokens
from intelligence.models import LoRAKind
from intelligence.prompt import PromptAnalyzer
from intelligence.prompt.clip_words import word_rank
from tests.benchmarks.choice_paraphrases import PARAPHRASES, SPANISH_EVERYDAY
from tests.benchmarks.choice_queries import make
from tests.benchmarks.choice_templates import ASKS, LONG_TAILS, SPANISH_ASKS, SPANISH_TAILS
from tests.benchmarks.choice_world import Made, World, find_series, load_plain
from tests.benchmarks.civitai import CivitaiLoRA, PromptQuery, load_records
from tests.benchmarks.corpus import Corpus
from tests.tools.train_choice import calibrated, judged, nodes_of

ANALYZER = PromptAnalyzer()
KINDS = {
    "sentence": 250,
    "long": 100,
    "spanish": 100,
    "partial": 80,
    "several": 60,
    "everyday": 350,
    "everyday_long": 80,
    "held": 100,
    "sibling": 60,
    "ordinary": 150,
    "loose": 120,
}
"""Kind of `choice_queries` → queries."""
TRAPS, COMMON_NOUN = 150, 8000
"""Traps of each kind, and the rank up to which a word is one that everybody uses."""
MAX_LORAS = 1500
"""Records that stand in the library, those that paraphrases are of among them."""
BLUR = 0.6
"""Standard deviation of noise on the odds of the words: the decision saw these records, and is surer of them."""
FOLDS = 5
PARAMETERS = {
    "num_leaves": 6,
    "learning_rate": 0.07,
    "min_data_in_leaf": 25,
    "lambda_l2": 10.0,
    "feature_fraction": 0.8,
    "objective": "binary",
    "verbose": -1,
    "num_threads": 1,
    "seed": 1,
}
ROUNDS = 90


@dataclass
class Rows:
    """Evidence of the LoRAs that were looked at, one row each."""

    inputs: np.ndarray
    right: np.ndarray
    weight: np.ndarray
    query: np.ndarray
    kind: np.ndarray
    words: np.ndarray
    """Probability by words alone."""


def paraphrases(world: World, rng: random.Random) -> list[Made]:
    """Queries in other words for what a record shows: each phrase alone, and within a sentence."""
    made = []
    for name, (english, spanish) in PARAPHRASES.items():
        found = [n for n in world.strong.get("".join(tokens(name)), ()) if n > 0]
        if not found:
            continue
        for phrases, asks, tails, kind in (
            (english, ASKS, LONG_TAILS, "described"),
            (spanish, SPANISH_ASKS, SPANISH_TAILS, "spanish described"),
        ):
            for phrase in phrases:
                whole = rng.choice(asks).format(phrase)
                longer = f"{phrase}, {rng.choice(tails).lower()}"
                made += [Made(kind, text, tuple(found[:6]), weight=1.5) for text in (whole, longer)]
    return made


def traps(world: World, rng: random.Random) -> list[Made]:
    """Queries that ask for no more than a word of a name: its head noun, or its first name beside another surname."""
    made = []
    scenes = [text for text in world.plain if len(text.split()) > 4]
    for kind in (LoRAKind.CONCEPT, LoRAKind.STYLE, LoRAKind.UNKNOWN):
        for number in rng.sample(world.kinds[kind], min(TRAPS, len(world.kinds[kind]))):
            words = world.spoken(number).lower().split()
            if len(words) in (2, 3) and word_rank(words[-1]) < COMMON_NOUN:
                said = rng.choice((f"a {words[-1]}", f"{words[-1]}s", f"a nice {words[-1]}"))
                made.append(Made("head noun", f"{rng.choice(scenes)} with {said}", near=(number,)))
    people = world.kinds[LoRAKind.CHARACTER]
    for number in rng.sample(people, min(TRAPS, len(people))):
        words = world.spoken(number).split()
        surname = world.spoken(rng.choice(people)).split()[-1:]
        if len(words) == 2 and surname and surname[0] != words[1]:
            text = rng.choice(ASKS).format(f"{words[0]} {surname[0]}".title())
            made.append(Made("namesake", f"{text}, {rng.choice(LONG_TAILS).lower()}", near=(number,)))
    for text in SPANISH_EVERYDAY:
        for tail in rng.sample(SPANISH_TAILS, 4):
            made.append(Made("spanish everyday", f"{rng.choice(SPANISH_ASKS).format(text)} {tail}"))
    return made


def chosen_loras(loras: Sequence[CivitaiLoRA], rng: random.Random) -> list[CivitaiLoRA]:
    """Some of the records: all that paraphrases are of, and others."""
    keys = {"".join(tokens(name)) for name in PARAPHRASES}
    told = [
        lora
        for lora in loras
        if any(source in STRONG and "".join(phrase) in keys for source, phrase in naming_phrases(lora.model))
    ]
    known = {lora.number for lora in told}
    others = [lora for lora in loras if lora.number not in known]
    return told + rng.sample(others, max(0, min(len(others), MAX_LORAS - len(told))))


def drawn(corpus: Corpus, made: Made, rng: random.Random) -> np.ndarray:
    """LoRAs that stand in a query's library."""
    size = len(corpus.models)
    allowed = np.zeros(size, bool)
    count = min(size, int(math.exp(rng.uniform(math.log(5), math.log(size + 1)))))
    allowed[rng.sample(range(size), count)] = True
    absent = rng.random() < 0.2
    for numbers, here in ((made.near[:12], True), (made.wanted, not absent), (made.absent, False)):
        allowed[[corpus.place[n] for n in numbers if n in corpus.place]] = here
    return allowed


def rows_of(queries: Sequence[Made], world: World, store: EmbeddingStore, running: Encoder, corpus: Corpus) -> Rows:
    """Return the evidence of all queries."""
    rng = world.rng
    (_, embeddings) = store.ask() or (running, None)
    columns: list[list[Any]] = [[] for _ in range(6)]
    for number, one in enumerate(queries):
        if number % 200 == 0:
            print(number, flush=True)
        analysis = ANALYZER.analyze(one.text)
        if analysis.tag_style > MAX_TAG_STYLE:
            continue
        allowed = drawn(corpus, one, rng)
        asked = corrected(prompt_query(analysis), corpus.index)
        postings = corpus.match_without(asked, one.known_as or one.text, one.wanted if one.known_as else ())
        found = ranker.rank(postings, analysis.tag_style, allowed)
        matches = Matches(
            asked, corpus.index, allowed, ranker.background(), decision().series, analysis.intent.artistic_style
        )
        by_words = np.array([*dict.fromkeys([*found.loras[:MAX_JUDGED].tolist(), *matches.named().tolist()])], np.int64)
        close = compare(analysis, running.encode, embeddings, allowed, by_words)
        words = decision()(evidence(matches, postings, close.loras, analysis.tag_style))
        odds = np.log(np.clip(words, 1e-4, 1 - 1e-4) / (1 - np.clip(words, 1e-4, 1 - 1e-4)))
        blurred = 1 / (1 + np.exp(-odds - np.random.default_rng(number).normal(0, BLUR, len(odds))))
        marks = [judged(one, corpus.numbers[place], matches, world) for place in close.loras.tolist()]
        columns[0].append(meaning_evidence(close, analysis, corpus.index, blurred))
        columns[1] += [mark == 1 for mark in marks]
        columns[2] += [0.0 if mark is None else one.weight for mark in marks]
        columns[3] += [number] * len(marks)
        columns[4] += [one.kind] * len(marks)
        columns[5] += words.tolist()
    return Rows(np.concatenate(columns[0]), *map(np.array, columns[1:]))


def fitted(rows: Rows, kept: np.ndarray) -> Any:
    """Trees of the kept rows."""
    import lightgbm

    use = kept & (rows.weight > 0)
    data = lightgbm.Dataset(rows.inputs[use], rows.right[use].astype(float), weight=rows.weight[use])
    rising = [int(name in RISING) for name in EVIDENCE]
    return lightgbm.train({**PARAMETERS, "monotone_constraints": rising}, data, ROUNDS)


def table(rows: Rows, told: np.ndarray, threshold: float) -> None:
    """Print what is taken by words alone, and with meaning, of every kind, out of fold."""
    use = rows.weight > 0
    for kind in (*dict.fromkeys(rows.kind.tolist()), "all"):
        mine = use & ((rows.kind == kind) | (kind == "all"))
        line = [f"{kind:18} right {int(rows.right[mine].sum()):5}"]
        for name, sure in (("words", rows.words), ("meaning", np.maximum(rows.words, told))):
            taken = mine & (sure >= threshold)
            hit = int((taken & rows.right).sum())
            line.append(f"{name}: {hit}/{taken.sum()} {hit / max(1, taken.sum()):.3f}")
        print(*line, flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--records", required=True)
    arguments.add_argument("--captions", required=True)
    arguments.add_argument("--prompts", help="parti_prompts.csv")
    arguments.add_argument("--rows", help="file that keeps the evidence between runs")
    options = arguments.parse_args()
    rng = random.Random(5)
    if options.rows and Path(options.rows).exists():
        rows = Rows(**pickle.loads(Path(options.rows).read_bytes()))
    else:
        rows = _read_rows(options, rng)
        if options.rows:
            Path(options.rows).write_bytes(pickle.dumps(vars(rows)))
    print(len(rows.right), "rows", Counter(rows.kind[rows.right].tolist()), flush=True)
    sums = np.zeros(len(rows.right))
    for fold in range(FOLDS):
        held = rows.query % FOLDS == fold
        sums[held] = fitted(rows, ~held).predict(rows.inputs[held], raw_score=True) / 2
    told, true = calibrated(sums, rows)
    table(rows, np.interp(sums, told, true), LoRAPreferences.min_confidence)
    model = fitted(rows, np.ones(len(rows.right), bool))
    gains = sorted(zip(model.feature_importance("gain"), EVIDENCE, strict=True), reverse=True)
    print(", ".join(f"{name} {gain / sum(g for g, _ in gains):.3f}" for gain, name in gains))
    data = {
        "about": {"version": 1, "date": date.today().isoformat(), "evidence": list(EVIDENCE)},
        "told": told,
        "true": true,
        "trees": [nodes_of(tree) for tree in model.dump_model()["tree_info"]],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("]],[[", "]],\n[[")
    path = Path(intelligence.lora.search.__file__).with_name("meaning.json")
    path.write_text(text + "\n", encoding="utf-8")
    check = MeaningModel.from_data(data)
    few = rows.inputs[:2000]
    print("largest difference", np.abs(check.trees(few) - model.predict(few, raw_score=True) / 2).max(), len(text))


def _read_rows(options: argparse.Namespace, rng: random.Random) -> Rows:
    if options.records.endswith(".pkl"):
        loras = [lora for lora in pickle.loads(Path(options.records).read_bytes()) if lora.even]
    else:
        loras = load_records(options.records, "even")
    series = find_series(loras)
    loras = chosen_loras(loras, rng)
    plain = load_plain(options.captions, options.prompts)
    world = World(loras, [PromptQuery(text, right) for text, right in plain], [text for text, _ in plain], rng, series)
    made = [one for one in make(world, KINDS) if all(number > 0 for number in one.wanted)]
    made += paraphrases(world, rng) + traps(world, rng)
    rng.shuffle(made)
    corpus, running = Corpus(loras), encoder()
    if running is None:
        raise SystemExit("the extra `meaning` is not installed")
    print(len(loras), "LoRAs", len(made), "queries", flush=True)
    store = EmbeddingStore(corpus.models, ":memory:")
    store.build()
    print("embedded", flush=True)
    return rows_of(made, world, store, running, corpus)


if __name__ == "__main__":
    main()
