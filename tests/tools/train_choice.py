"""Train the numbers of the decision: python -m tests.tools.train_choice --records DIR --captions CSV [--prompts CSV]

Reads records of even numbers, captions and natural prompts of odd rows alone, makes queries of named kinds of them
(tests/benchmarks/choice_queries.py), each asked of a library drawn for it, and writes decision.json of lora/search.
Needs scikit-learn and LightGBM. Takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

import intelligence.lora.search
from intelligence.config import LoRAPreferences
from intelligence.lora.recommender import MAX_JUDGED
from intelligence.lora.search import ranker
from intelligence.lora.search.decision import Decision, decision_from
from intelligence.lora.search.naming import STRONG
from intelligence.lora.search.naming_evidence import EVIDENCE, Matches, evidence
from intelligence.lora.search.spelling import corrected
from intelligence.lora.search.tokens import prompt_query
from intelligence.models import LoRAKind
from intelligence.prompt import PromptAnalyzer
from intelligence.prompt.clip_words import UNKNOWN_RANK, word_rank
from tests.benchmarks.choice_queries import KINDS, make
from tests.benchmarks.choice_world import Made, World, find_series, load_plain
from tests.benchmarks.civitai import PromptQuery, load_records
from tests.benchmarks.corpus import Corpus, bare

ANALYZER = PromptAnalyzer()
PARTS = (1, 4, 12)
"""Into how many libraries the records are parted; a query is asked within one of them."""
FOLDS = 5
TRAPS = ("held", "sibling", "sibling present", "ordinary word")
"""Kinds in which a LoRA that the prompt names is not wanted."""
NAMESAKES = (LoRAKind.CHARACTER, LoRAKind.STYLE)
"""Kinds of LoRAs that an everyday word does not ask for where it is their name; a LoRA of the thing itself may be."""
KNOWN_SERIES = 0.5
"""Share of the series that are known as such, drawn for each query: users have LoRAs of series that no list knows."""
PARAMETERS = {
    "num_leaves": 15,
    "learning_rate": 0.06,
    "min_data_in_leaf": 25,
    "lambda_l2": 5.0,
    "feature_fraction": 0.7,
}
ROUNDS = 260
WITHOUT_RANKER = ("phrase_coverage", "creator_coverage", "best_coverage", "best_example", "covered")
"""The ranker's features that one of the two averaged fits sees."""
RISING = ("named_first_piece", "named_title", "named_name", "named_first_trigger", "strong")
"""Evidence that never speaks against a LoRA."""


@dataclass
class Rows:
    """Evidence of the LoRAs that were looked at, one row each."""

    inputs: np.ndarray
    right: np.ndarray
    weight: np.ndarray
    query: np.ndarray
    kind: np.ndarray
    size: np.ndarray
    lora: np.ndarray


class Libraries:
    """Parts of the records as libraries, some of which know little of their LoRAs."""

    def __init__(self, world: World, rng: random.Random) -> None:
        loras = world.loras
        self.rng, self.parts, self.part_of = rng, [], {}
        for group in world.groups:
            corpus = Corpus([one.lora for one in group])
            self.part_of |= {one.lora.number: [corpus] for one in group}
        for count in PARTS:
            order = [*loras]
            rng.shuffle(order)
            for number in range(count):
                inside = order[number::count]
                how = rng.choice(("whole", "whole", "examples", "captions", "name")) if count == PARTS[-1] else "whole"
                models = None if how == "whole" else [bare(lora.model, how) for lora in inside]
                corpus = Corpus(inside, models, known=self.parts[0].index if self.parts else None)
                self.parts.append(corpus)
                for lora in inside:
                    self.part_of.setdefault(lora.number, []).append(corpus)
        print("libraries", flush=True)

    def drawn(self, made: Made) -> tuple[Corpus, np.ndarray]:
        """A library for a query: which LoRAs of a part stand in it."""
        rng = self.rng
        asked = made.wanted or made.near[:1]
        corpora = self.part_of[asked[0]] if asked else [rng.choice(self.parts)]
        corpus = corpora[0] if len(made.wanted) > 1 else rng.choice(corpora)
        size = len(corpus.models)
        allowed = np.zeros(size, bool)
        if asked and asked[0] < 0:
            return corpus, np.ones(size, bool)
        count = min(size, int(math.exp(rng.uniform(math.log(3), math.log(size + 1)))))
        allowed[rng.sample(range(size), count)] = True
        near = [corpus.place[n] for n in made.near if n in corpus.place]
        always = made.kind in TRAPS
        allowed[[place for place in near if always or rng.random() < 0.6][:12]] = True
        allowed[[corpus.place[n] for n in made.wanted if n in corpus.place]] = True
        allowed[[corpus.place[n] for n in made.absent if n in corpus.place]] = False
        if made.wanted and rng.random() < 0.12:
            allowed[[corpus.place[n] for n in made.wanted if n in corpus.place]] = False
        return corpus, allowed


def rows_of(made: Sequence[Made], libraries: Libraries, world: World) -> Rows:
    inputs, right, weight, query, kind, size, record = [], [], [], [], [], [], []
    for number, one in enumerate(made):
        if number % 500 == 0:
            print(number, flush=True)
        corpus, allowed = libraries.drawn(one)
        analysis = ANALYZER.analyze(one.text)
        asked = corrected(prompt_query(analysis), corpus.index)
        postings = corpus.match_without(asked, one.known_as or one.text, one.wanted if one.known_as else ())
        found = ranker.rank(postings, analysis.tag_style, allowed)
        known = frozenset(name for name in world.series if libraries.rng.random() < KNOWN_SERIES)
        matches = Matches(asked, corpus.index, allowed, ranker.background(), known, analysis.intent.artistic_style)
        loras = np.array([*dict.fromkeys([*found.loras[:MAX_JUDGED].tolist(), *matches.named().tolist()])], np.int64)
        if not len(loras):
            continue
        marks = [judged(one, corpus.numbers[place], matches, world) for place in loras.tolist()]
        inputs.append(evidence(matches, postings, loras, analysis.tag_style))
        right += [mark == 1 for mark in marks]
        weight += [0.0 if mark is None else one.weight for mark in marks]
        query += [number] * len(loras)
        kind += [one.kind] * len(loras)
        size += [int(allowed.sum())] * len(loras)
        record += [corpus.numbers[place] for place in loras.tolist()]
    return Rows(np.concatenate(inputs), *map(np.array, (right, weight, query, kind, size, record)))


def judged(made: Made, number: int, matches: Matches, world: World) -> int | None:
    """Judge a record for a query: 1 for right, 0 for wrong, None where nobody can say."""
    if number in made.wanted:
        return 1
    if number in made.open or any(_share_rare_word(number, other, matches, world) for other in made.absent):
        return None
    names = world.strong_keys(number)
    standing = {key for key in names if key in matches.runs}
    for other in (*made.wanted, *made.absent):
        theirs = world.strong_keys(other)
        if standing & theirs:
            return 1 if other in made.wanted else None
        if names & theirs:
            return None
    if standing and made.kind == "ordinary word" and world.by_number[number].model.lora_kind not in NAMESAKES:
        return None
    if not standing or made.kind in TRAPS:
        return 0
    return _standing_by_chance(made, number, max(standing, key=len), matches, world)


def _standing_by_chance(made: Made, number: int, key: str, matches: Matches, world: World) -> int | None:
    """Likewise, of a record that the words around the wanted ones name: dumps of tags and captions name much."""
    run = matches.runs[key][0]
    words = matches.tokens[run.start : run.end]
    rare = max(word_rank(word) for word in words) > 20_000
    if world.by_number[number].model.lora_kind is LoRAKind.CHARACTER:
        return None if rare or len(words) > 1 else 0
    if made.kind.startswith(("gallery", "everyday tags", "tags")):
        return 0 if run.piece > 2 or not rare else None
    if made.kind.startswith("everyday"):
        return None if rare or run.start <= 3 or len(words) > 1 else 0
    return 0 if not rare else None


def _share_rare_word(number: int, other: int, matches: Matches, world: World) -> bool:
    """True where the names of two records share a word of the query that no dictionary has: it may be one subject."""
    mine, theirs = ({w for s, phrase in world.names[n] if s in STRONG for w in phrase} for n in (number, other))
    shared = mine & theirs & set(matches.tokens)
    return any(word_rank(word) >= UNKNOWN_RANK and word not in world.series for word in shared)


def without_ranker(inputs: np.ndarray) -> np.ndarray:
    """The evidence with the ranker's features at 0, but for `WITHOUT_RANKER`."""
    blind = [n for n, name in enumerate(EVIDENCE) if name[:7] == "ranked_" and name[7:] not in WITHOUT_RANKER]
    inputs = inputs.copy()
    inputs[:, blind] = 0
    return inputs


def both(rows: Rows, kept: np.ndarray) -> tuple[Any, Any]:
    """Trees that see all evidence, and trees that see nothing of the ranker; their mean decides."""
    return fitted(rows, kept), fitted(replace(rows, inputs=without_ranker(rows.inputs)), kept)


def fitted(rows: Rows, kept: np.ndarray) -> Any:
    """Trees of the kept rows."""
    import lightgbm

    use = kept & (rows.weight > 0)
    data = lightgbm.Dataset(rows.inputs[use], rows.right[use].astype(float), weight=rows.weight[use])
    rising = [int(name in RISING) for name in EVIDENCE]
    options = {**PARAMETERS, "objective": "binary", "verbose": -1, "num_threads": 1, "seed": 1}
    return lightgbm.train({**options, "monotone_constraints": rising}, data, ROUNDS)


def nodes_of(tree: dict[str, Any]) -> list[list[float]]:
    """A tree of LightGBM as the rows that `decision.trees_from` reads."""
    out: list[list[float]] = []

    def walk(node: dict[str, Any]) -> int:
        place = len(out)
        out.append([])
        if "leaf_value" in node:
            out[place] = [float(f"{node['leaf_value'] / 2:.4g}")]
        else:
            below, above = walk(node["left_child"]), walk(node["right_child"])
            out[place] = [node["split_feature"], float(f"{node['threshold']:.8g}"), below, above]
        return place

    walk(tree["tree_structure"])
    return out


def calibrated(sums: np.ndarray, rows: Rows) -> tuple[list[float], list[float]]:
    """Sums of the trees that were not fitted on them, and the share that is right there, at some twenty points."""
    from sklearn.isotonic import IsotonicRegression

    use = rows.weight > 0
    regression = IsotonicRegression(out_of_bounds="clip").fit(sums[use], rows.right[use], rows.weight[use])
    grid = np.quantile(sums[use & (regression.predict(sums) > 0.005)], np.linspace(0, 1, 60))
    smooth = [float(np.mean(regression.predict(np.linspace(x - 0.25, x + 0.25, 21)))) for x in grid]
    told = [float(f"{x:.4g}") for x in (grid[0] - 3, *grid)]
    return told, [0.0, *np.maximum.accumulate([float(f"{x:.3g}") for x in smooth]).tolist()]


def compared(rows: Rows) -> None:
    """Print what kinds of model make of the same rows, out of fold."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score, log_loss
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    use, held = rows.weight > 0, rows.query % FOLDS == 0
    train, test = use & ~held, use & held

    def tell(name: str, told: np.ndarray) -> None:
        loss, area = log_loss(rows.right[test], told), average_precision_score(rows.right[test], told)
        print(f"{name:20} log loss {loss:.4f} average precision {area:.4f}", flush=True)

    for name, model in (
        ("logistic regression", LogisticRegression(max_iter=400, C=0.3)),
        ("network of 24", MLPClassifier((24,), max_iter=25, early_stopping=True, random_state=1)),
    ):
        pipe = make_pipeline(StandardScaler(), model).fit(rows.inputs[train], rows.right[train])
        tell(name, pipe.predict_proba(rows.inputs[test])[:, 1])
    tell("trees", fitted(rows, ~held).predict(rows.inputs[test]))


def table(rows: Rows, told: np.ndarray, threshold: float) -> None:
    """Print precision and recall of each kind out of fold, and told against true by the library's size."""
    use = rows.weight > 0
    for kind in dict.fromkeys(rows.kind.tolist()):
        mine = use & (rows.kind == kind)
        taken = mine & (told >= threshold)
        right, hit = int(rows.right[mine].sum()), int((taken & rows.right).sum())
        precision, recall = hit / max(1, taken.sum()), hit / max(1, right)
        print(f"{kind:16} {mine.sum():6} right {right:5} taken {taken.sum():5} {precision:.3f} at {recall:.3f}")
    for low, high in ((0, 11), (11, 51), (51, 401), (401, 10**6)):
        mine = use & (rows.size >= low) & (rows.size < high)
        line = []
        for least in (0.0, 0.2, 0.4, 0.6, 0.8):
            part = mine & (told >= max(least, 0.02)) & (told < least + 0.2 + (least == 0.8))
            if part.sum() > 20:
                line.append(f"{told[part].mean():.2f}/{rows.right[part].mean():.2f} of {part.sum()}")
        print("size", low, high, *line)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--records", required=True)
    arguments.add_argument("--captions", required=True)
    arguments.add_argument("--prompts", help="parti_prompts.csv")
    arguments.add_argument("--scale", type=float, default=1.0, help="factor on the number of queries")
    arguments.add_argument("--rows", help="file that keeps the evidence between runs")
    options = arguments.parse_args()
    rng = random.Random(7)
    if options.rows and Path(options.rows).exists():
        rows, series, _ = pickle.loads(Path(options.rows).read_bytes())
    else:
        if options.records.endswith(".pkl"):
            loras = [lora for lora in pickle.loads(Path(options.records).read_bytes()) if lora.even]
        else:
            loras = load_records(options.records, "even")
        series = find_series(loras)
        plain = load_plain(options.captions, options.prompts)
        world = World(
            loras, [PromptQuery(text, right) for text, right in plain], [text for text, _ in plain], rng, series
        )
        made = make(world, {kind: int(count * options.scale) for kind, count in KINDS.items()})
        rng.shuffle(made)
        rows = rows_of(made, Libraries(world, rng), world)
        if options.rows:
            Path(options.rows).write_bytes(pickle.dumps((rows, series, [one.text for one in made])))
    print(len(rows.right), "rows", Counter(rows.kind[rows.right].tolist()), flush=True)
    compared(rows)
    sums = np.zeros(len(rows.right))
    for fold in range(FOLDS):
        held = rows.query % FOLDS == fold
        seeing, blind = both(rows, ~held)
        sums[held] = seeing.predict(rows.inputs[held], raw_score=True) / 2
        sums[held] += blind.predict(without_ranker(rows.inputs[held]), raw_score=True) / 2
    told, true = calibrated(sums, rows)
    table(rows, np.interp(sums, told, true), LoRAPreferences.min_confidence)
    models = both(rows, np.ones(len(rows.right), bool))
    model = models[0]
    gains = sorted(zip(model.feature_importance("gain"), EVIDENCE, strict=True), reverse=True)
    print(", ".join(f"{name} {gain / sum(g for g, _ in gains):.3f}" for gain, name in gains[:25]))
    data = {
        "about": {"version": 1, "date": date.today().isoformat(), "evidence": list(EVIDENCE)},
        "told": told,
        "true": true,
        "series": sorted(series),
        "trees": [nodes_of(tree) for one in models for tree in one.dump_model()["tree_info"]],
    }
    check: Decision = decision_from(data)
    few = rows.inputs[:2000]
    theirs = sum(
        one.predict(seen, raw_score=True) / 2 for one, seen in zip(models, (few, without_ranker(few)), strict=True)
    )
    print("largest difference between the numbers and the models", np.abs(check.trees(few) - theirs).max())
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("]],[[", "]],\n[[")
    path = Path(intelligence.lora.search.__file__).with_name("decision.json")
    path.write_text(text + "\n", encoding="utf-8")
    print(path, len(text))


if __name__ == "__main__":
    main()
