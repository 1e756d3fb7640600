"""Train the LoRA ranker's numbers: python -m tests.tools.train_ranker --records DIR --captions CSV

Reads records of even numbers and captions of odd rows alone as queries (see tests/benchmarks/civitai.py; all records
stand in the library, as LoRAs that might be chosen), and writes intelligence/lora/search/ranker.json.
Takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

import intelligence.lora.search
from intelligence.lora.search import ranker
from intelligence.lora.search.building import ROUGH_FEATURES, Background, rough_features
from intelligence.lora.search.documents import EXAMPLES, read_document
from intelligence.lora.search.features import features, postings_of, relative
from intelligence.lora.search.tokens import prompt_query
from intelligence.prompt import PromptAnalyzer
from tests.benchmarks.civitai import (
    CivitaiLoRA,
    PromptQuery,
    in_ids,
    load_captions,
    load_records,
    multi_queries,
    tag_queries,
    without_names,
)
from tests.benchmarks.corpus import Corpus, bare

PROMPTS = 3
"""Queries of one LoRA, at most."""
COMMON = 0.001
"""Share of the LoRAs from which a word is general knowledge …"""
CREATORS = 10
"""… when so many creators use it."""
CAPTIONS = {"rate": 0.05, "decay": 1e-2}
SECOND = {"hidden": 32, "steps": 1800, "decay": 3e-4, "rate": 0.01}
SENTENCES = {"listwise": False, "steps": 1000, "decay": 3e-3, "rate": 0.03}
CALIBRATOR = {"hidden": 16, "listwise": False, "steps": 2500, "decay": 3e-4, "rate": 0.01}
"""How each part is fitted; see `fit`."""
STRIPPED = 0.3
"""Share of the prompts without names and trigger words that the calibrator sees: people do write so, less often."""
FOLDS = 3
"""Parts of the queries, by record: the calibrator sees scores of models that have not seen the query's LoRA."""
JUDGED = {True: 2, False: 5}
"""LoRAs of a ranking that the calibrators of lists of tags, and of sentences, learn from."""
SIZES = ((5, 90), (20, 40), (50, 16), (200, 6), (1000, 2))
"""Size of a random library, and how many of them are drawn."""

ABOUT = {
    "version": 1,
    "data_revision": "dfanr/CivitaiModelList of 2023, 7,230 LoRAs for Stable Diffusion 1.5; "
    "stylus-diffusion/stylus, coco_rank.csv",
    "command": "python -m tests.tools.train_ranker --records DIR --captions CSV",
    "metrics": {},
}
"""First entry of ranker.json; its metrics are those of tests.benchmarks.retrieval, entered by hand."""
ANALYZER = PromptAnalyzer()


def background(loras: Sequence[CivitaiLoRA]) -> dict[str, Background]:
    """Words that many creators use: the share of LoRAs, and of example prompts, that have them."""
    having: Counter[str] = Counter()
    shares: defaultdict[str, float] = defaultdict(float)
    creators: defaultdict[str, set[str | None]] = defaultdict(set)
    with_examples = 0
    for lora in loras:
        read = read_document(lora.model)
        with_examples += read.examples > 0
        for key, columns in read.postings.items():
            having[key] += 1
            shares[key] += columns[EXAMPLES]
            creators[key].add(lora.model.creator)
    common = sorted(key for key, n in having.items() if n >= COMMON * len(loras) and len(creators[key]) >= CREATORS)
    return {
        key: Background(round(having[key] / len(loras), 4), round(shares[key] / with_examples, 5)) for key in common
    }


@dataclass
class Task:
    """A query against a library."""

    corpus: Corpus
    query: PromptQuery
    allowed: np.ndarray | None = None

    def __post_init__(self) -> None:
        analysis = ANALYZER.analyze(self.query.prompt)
        self.tag_style = analysis.tag_style
        self.asked = prompt_query(analysis)
        places = [self.corpus.place.get(number, -1) for number in self.query.records]
        self.right = [p for p in places if p >= 0 and (self.allowed is None or self.allowed[p])]

    @property
    def fold(self) -> int:
        return self.query.records[0] // 2 % FOLDS

    def of_allowed(self, values: np.ndarray) -> np.ndarray:
        """Those of the LoRAs that may be chosen. Args: values: one or a row per LoRA."""
        return values if self.allowed is None else values[self.allowed]

    def postings(self) -> Any:
        return self.corpus.match_without(self.asked, self.query.known_as, self.query.records)


def fit(
    inputs: Sequence[np.ndarray],
    right: Sequence[np.ndarray],
    *,
    hidden: int = 0,
    base: Sequence[np.ndarray] | None = None,
    listwise: bool = True,
    steps: int = 600,
    decay: float = 1e-3,
    rate: float = 0.03,
) -> dict[str, np.ndarray]:
    """Weights of `ranker.network` (without `hidden` units: its linear part), by softmax over lists or by logistic loss.

    Args:
        inputs: per list, shape (items, n).
        right: per list, which items are right.
        base: per list, scores that the network adds to.
    """
    keep = [i for i, found in enumerate(right) if len(found) and (found.any() or not listwise)]
    longest, width = max(len(inputs[i]) for i in keep), inputs[keep[0]].shape[1]
    x, mask = torch.zeros(len(keep), longest, width), torch.full((len(keep), longest), -1e9)
    gold, added = torch.zeros(len(keep), longest), torch.zeros(len(keep), longest)
    for row, i in enumerate(keep):
        x[row, : len(inputs[i])] = torch.from_numpy(inputs[i].astype(np.float32))
        mask[row, : len(inputs[i])] = 0
        gold[row, : len(inputs[i])] = torch.from_numpy(right[i].astype(np.float32))
        if base is not None:
            added[row, : len(inputs[i])] = torch.from_numpy(base[i].astype(np.float32))
    torch.manual_seed(0)
    direct = torch.zeros(width, requires_grad=True)
    constant = torch.zeros(1, requires_grad=True)
    first = (torch.randn(width, hidden) / width**0.5).requires_grad_()
    bias = torch.zeros(hidden, requires_grad=True)
    last = (torch.randn(hidden) * 0.1).requires_grad_()
    learned = [direct, constant, first, bias, last]
    optimizer = torch.optim.Adam(learned, lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
    for _ in range(steps):
        batch = torch.randint(len(keep), (96,))
        score = x[batch] @ direct + torch.relu(x[batch] @ first + bias) @ last + constant + added[batch]
        if listwise:
            chances = torch.log_softmax(score + mask[batch], 1)
            loss = -((chances * gold[batch]).sum(1) / gold[batch].sum(1)).mean()
        else:
            there = mask[batch] == 0
            loss = torch.nn.functional.binary_cross_entropy_with_logits(score[there], gold[batch][there])
        loss = loss + decay * sum((weight**2).sum() for weight in (direct, first, last))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    found = {"direct": direct, "constant": constant[0], "hidden": first, "bias": bias, "output": last}
    return {name: weight.detach().numpy() for name, weight in found.items()}


def fit_without(fold: int, tasks: Sequence[Task], *lists: Sequence[np.ndarray], **options: Any) -> Any:
    """`fit` of the tasks outside a fold. Args: lists: `inputs`, `right` and, where there are, `base`."""
    kept = [number for number, task in enumerate(tasks) if task.fold != fold]
    inputs, right, *base = ([one[number] for number in kept] for one in lists)
    return fit(inputs, right, base=base[0] if base else None, **options)


def first_weights(tasks: Sequence[Task]) -> np.ndarray:
    """Weights of the pass over all LoRAs."""
    inputs = []
    for task in tasks:
        index, postings = task.corpus.index, task.postings()
        key = postings.keys[postings.key]
        values = rough_features(postings.columns, index.idf[key], index.rarity[key], postings.coverage[postings.lora])
        inputs.append(task.of_allowed(np.stack([np.bincount(postings.lora, v, index.size) for v in values.T], axis=1)))
    scale = np.mean([one.max(axis=0) for one in inputs], axis=0)
    right = [task.of_allowed(_marked(task, np.arange(task.corpus.index.size))) for task in tasks]
    weights = fit([one / scale for one in inputs], right, steps=200, decay=0, rate=0.15)["direct"] / scale
    return weights.astype(np.float32)


def _marked(task: Task, loras: np.ndarray) -> np.ndarray:
    return np.isin(loras, task.right)


def shortlists(tasks: Sequence[Task], numbers: ranker.Numbers) -> list[ranker.Shortlist]:
    """The shortlist of every task."""
    found = []
    for task in tasks:
        postings = task.postings()
        scored = ranker.rough_scores(postings, task.tag_style)
        best = ranker.candidates(scored, task.allowed, ranker.FIRST_PASS)
        found.append(ranker.shortlisted(ranker.look_at(postings, best), best, task.tag_style, task.allowed, numbers))
    return found


def second_inputs(shortlist: ranker.Shortlist) -> np.ndarray:
    return np.concatenate((shortlist.inputs, ranker.compared(shortlist)), axis=1)


def spoken_of(corpus: Corpus) -> np.ndarray:
    """What captions are asked of: which LoRAs of odd numbers are right for them is not to be known here."""
    return np.array([in_ids(number, "even") for number in corpus.numbers])


def libraries(
    loras: Sequence[CivitaiLoRA],
    sentences: Sequence[PromptQuery],
    known: dict[str, Background],
    first: np.ndarray,
    rng: random.Random,
) -> list[Task]:
    """Queries of even records in random libraries, half of them without the LoRA that the person used."""
    by_number = {lora.number: lora for lora in loras}
    tasks = []
    even = [lora for lora in loras if lora.even and tag_queries([lora], 1)]
    for drawn, count in SIZES:
        for _ in range(count):
            said = rng.sample(sentences, 4)
            shown = {number: by_number[number] for query in said[:2] for number in query.records}
            inside = [*({lora.number: lora for lora in rng.sample(loras, drawn)} | shown).values()]
            size = len(inside)
            how = [rng.choice(("whole", "whole", "examples", "captions", "name"))] * size
            if rng.random() < 0.3:
                how = [rng.choice(("whole", "examples", "captions", "name")) for _ in inside]
            models = [lora.model if h == "whole" else bare(lora.model, h) for lora, h in zip(inside, how, strict=True)]
            corpus = Corpus(inside, models, known, first)
            present = [lora for lora in inside if lora.even]
            most = max(4, min(40, size // 2))
            for lora in (*rng.sample(present, min(most, len(present))), *rng.sample(even, most)):
                tasks += [Task(corpus, query) for query in tag_queries([lora], 1)]
            even_loras = spoken_of(corpus)
            tasks += [Task(corpus, query, even_loras) for query in said]
    return tasks


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, Background):
        return list(value)
    return np.vectorize(lambda x: float(f"{x:.4g}"))(value).tolist() if np.size(value) else value.tolist()


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--records", required=True)
    arguments.add_argument("--captions", required=True)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(0)
    loras = load_records(options.records)
    even = [lora for lora in loras if in_ids(lora.number, "even")]
    by_number = {lora.number: lora for lora in loras}
    known = background(even)
    corpus = Corpus(loras, background=known, first=np.zeros((2, len(ROUGH_FEATURES)), np.float32))
    whole = tag_queries(even, PROMPTS)
    stripped = [query for one in whole if (query := without_names(one, by_number))]
    rng.shuffle(whole)
    rng.shuffle(stripped)
    sentences = load_captions(options.captions, {lora.number for lora in even}, even_rows=False)
    even_loras = spoken_of(corpus)
    captions = [Task(corpus, query, even_loras) for query in sentences]
    several = [Task(corpus, query) for query in multi_queries(even, 4)]
    tags = [Task(corpus, query) for query in (*whole, *stripped[:2000])] + several
    rng.shuffle(tags)
    first = np.stack((first_weights(tags[:800]), first_weights(captions)))
    numbers: dict[str, Any] = {"first": first}
    corpus.weigh(first)
    print("first", flush=True)
    raws = []
    for task in (*tags, *captions):
        postings = task.postings()
        found = ranker.candidates(ranker.rough_scores(postings, task.tag_style), task.allowed, ranker.FIRST_PASS)
        raws.append((features(postings_of(postings, found)), _marked(task, found)))
    numbers["scale"] = np.mean([raw.max(axis=0, initial=0) for raw, _ in raws[: len(tags)]], axis=0).astype(np.float32)
    lists = [relative(raw, numbers["scale"]) for raw, _ in raws]
    right = [marked for _, marked in raws]
    split = len(tags)
    numbers["linear"] = np.stack(
        (
            fit(lists[:split], right[:split], rate=0.05)["direct"],
            fit(lists[split:], right[split:], **CAPTIONS)["direct"],
        )
    )
    blind = [{**numbers} for _ in range(FOLDS)]
    for fold, known_by in enumerate(blind):
        without = fit_without(fold, captions, lists[split:], right[split:], **CAPTIONS)["direct"]
        known_by["linear"] = np.stack((numbers["linear"][0], without))
    del raws, lists
    print("linear", flush=True)
    small = libraries(loras, sentences, known, first, rng)
    tasks = [*tags, *(task for task in small if task.tag_style > 0.5)]
    found = shortlists(tasks, numbers)
    marks = [_marked(task, stage.lora) for task, stage in zip(tasks, found, strict=True)]
    inputs = [second_inputs(stage) for stage in found]
    base = [stage.score for stage in found]
    numbers["second"] = fit(inputs, marks, base=base, **SECOND)
    for fold, known_by in enumerate(blind):
        known_by["second"] = fit_without(fold, tasks, inputs, marks, base, **SECOND)
    print("second", flush=True)
    seldom = [task for task in tags if not task.query.written or rng.random() < STRIPPED]
    judged = [
        Task(corpus, task.query, allowed) for task in (*seldom, *captions) for allowed in (task.allowed, _absent(task))
    ]
    judged += small
    cases: dict[bool, list[np.ndarray]] = {True: [], False: []}
    answers: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for fold, known_by in enumerate(blind):
        inside = [task for task in judged if task.fold == fold]
        for task, stage in zip(inside, shortlists(inside, known_by), strict=True):
            if len(stage.lora):
                ahead = task.tag_style * ranker.network(second_inputs(stage), known_by["second"])
                best = stage.best(stage.score + ahead, ranker.SECOND_PASS)
                listed = task.tag_style > 0.5
                cases[listed].append((second_inputs if listed else ranker.compared)(best)[: JUDGED[listed]])
                answers[listed].append(_marked(task, best.lora[: JUDGED[listed]]))
    numbers["calibrator"] = fit(cases[True], answers[True], **CALIBRATOR)
    numbers["sentences"] = fit(cases[False], answers[False], **SENTENCES)
    about = {"about": {**ABOUT, "date": date.today().isoformat()}}
    data = {**about, **rounded(numbers), "background": rounded(known)}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    path = Path(intelligence.lora.search.__file__).with_name("ranker.json")
    path.write_text(text.replace("],", "],\n") + "\n", encoding="utf-8")


def _absent(task: Task) -> np.ndarray:
    allowed = np.ones(task.corpus.index.size, bool) if task.allowed is None else task.allowed.copy()
    allowed[task.right] = False
    return allowed


if __name__ == "__main__":
    main()
