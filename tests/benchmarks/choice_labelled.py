"""Labelled prompts of the benchmark `choice`: those of a folder of LoRAs, and fresh ones of public records."""

from __future__ import annotations

import json
import random
import runpy
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from intelligence.config import LoRAPreferences
from intelligence.lora import LoRARecommender
from intelligence.models import Architecture, ModelEvidence, ModelKind
from intelligence.prompt import PromptAnalyzer
from intelligence.registry import ModelRegistry
from tests.benchmarks.civitai import SD1, CivitaiLoRA
from tests.benchmarks.corpus import Shelf

ANALYZER = PromptAnalyzer()
SAVED = 0.7
"""Confidence of graphs that were saved with the default before."""
FRESH, ONCE, HELD = (Path(__file__).with_name("data") / f"choice_{name}.jsonl" for name in ("fresh", "once", "held"))
"""Sentences of 357 records, which have been read while the decision was made, of 400 others, asked when it was, and of
400, a third of them about things that a scene merely holds."""
CHECKPOINTS = {"": "sd_xl_base_1.0", "pony_": "ponyDiffusionV6XL_v6", "illustrious_": "Illustrious-XL-v1.0"}
SDXL = ModelEvidence(name=CHECKPOINTS[""], architecture=Architecture.SDXL)
Figures = dict[str, float | int | None]


def ratio(part: float, whole: float) -> float | None:
    """Return part / whole, None of nothing."""
    return part / whole if whole else None


def is_hit(name: str, alternatives: str) -> bool:
    """True for a file that is wanted; the wanted are named by how they begin."""
    return any(name.lower().startswith(one.lower()) for one in alternatives.split("|"))


def labelled_figures(folder: str, labels: str) -> Figures:
    """Labelled prompts asked of a folder of LoRAs, and of random parts of it."""
    prompts = runpy.run_path(labels)["P"]
    with tempfile.TemporaryDirectory() as home:
        registry = ModelRegistry(Path(home) / "registry.db")
        registry.scan({ModelKind.LORA: [folder]})
        models = registry.list_models(ModelKind.LORA)
    read = [(row, ANALYZER.analyze(row["text"], row.get("neg", ""))) for row in prompts]
    figures: Figures = {"labelled_loras": len(models)}
    whole = LoRARecommender(Shelf(models))
    for mark, checkpoint in CHECKPOINTS.items():
        base = ModelEvidence(name=checkpoint, architecture=Architecture.SDXL)
        for least, name in ((LoRAPreferences.min_confidence, ""), (SAVED, "_at_0.7")):
            for kind in ("tags", "sent"):
                tally = labelled_tally(whole, [pair for pair in read if pair[0]["kind"] == kind], base, least, None)
                figures |= {f"{mark}labelled_{kind}{name}_{key}": value for key, value in tally_figures(tally).items()}
    for size, draws in ((10, 40), (25, 20)):
        for kind in ("tags", "sent"):
            total: Counter[str] = Counter()
            for draw in range(draws):
                part = random.Random(draw * 100 + size).sample(models, min(size, len(models)))
                names = [model.name for model in part if model.architecture is Architecture.SDXL]
                asked = [pair for pair in read if pair[0]["kind"] == kind]
                least = LoRAPreferences.min_confidence
                total += labelled_tally(LoRARecommender(Shelf(part)), asked, SDXL, least, names)
            figures |= {f"random_{size}_{kind}_{key}": value for key, value in tally_figures(total).items()}
    return figures


def labelled_tally(
    recommender: LoRARecommender, asked: list, base: ModelEvidence, least: float, names: list[str] | None
) -> Counter[str]:
    tally: Counter[str] = Counter()
    for row, analysis in asked:
        chosen = [
            one.lora_name for one in recommender.choose(analysis, base, min_confidence=least).chosen if not one.named
        ]
        wanted = [one for one in row["must"] if names is None or any(is_hit(name, one) for name in names)]
        wrong = sum(not any(is_hit(name, one) for one in (*row["must"], *row["ok"])) for name in chosen)
        tally["prompts"] += 1
        tally["applied"] += len(chosen)
        tally["wrong"] += wrong
        tally["wanted"] += len(wanted)
        tally["found"] += sum(any(is_hit(name, one) for name in chosen) for one in wanted)
        if not row["must"]:
            tally["nothing"] += 1
            tally["left_alone"] += not wrong
    return tally


def tally_figures(tally: Counter[str]) -> Figures:
    return {
        "precision": ratio(tally["applied"] - tally["wrong"], tally["applied"]),
        "recall": ratio(tally["found"], tally["wanted"]),
        "wanted": tally["wanted"],
        "wrong_per_100": ratio(100 * tally["wrong"], tally["prompts"]),
        "nothing_wanted": tally["nothing"],
        "left_alone": tally["left_alone"],
    }


def fresh_figures(loras: Sequence[CivitaiLoRA], file: Path) -> Figures:
    """Sentences that another hand wrote, of records of even numbers that stand in one library."""
    head, *lines = file.read_text(encoding="utf-8").splitlines()
    inside = {*json.loads(head)["library"]}
    models = {lora.model.model_id: lora.number for lora in loras if lora.number in inside}
    recommender = LoRARecommender(Shelf([lora.model for lora in loras if lora.number in inside]))
    tallies: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in map(json.loads, lines):
        analysis = ANALYZER.analyze(row["text"])
        for least, mark in ((LoRAPreferences.min_confidence, ""), (SAVED, "_at_0.7")):
            chosen = recommender.choose(analysis, SD1, min_confidence=least).chosen
            tally = _fresh_tally(row, [models[one.lora_metadata.model_id] for one in chosen])
            for name in (row["kind"], *(["wanting"] if row["kind"] in ("named", "titled", "loose", "two") else [])):
                tallies[f"{file.stem.removeprefix('choice_')}_{name}{mark}"] += tally
    return {f"{name}_{key}": value for name, tally in tallies.items() for key, value in tally_figures(tally).items()}


def _fresh_tally(row: dict[str, Any], chosen: list[int]) -> Counter[str]:
    right = {number for alternatives in row["wanted"] for number in alternatives}
    wrong = sum(number not in right and number not in row["harmless"] for number in chosen)
    found = sum(any(number in alternatives for number in chosen) for alternatives in row["wanted"])
    nothing = not row["wanted"]
    return Counter(
        prompts=1,
        applied=len(chosen),
        wrong=wrong,
        wanted=len(row["wanted"]),
        found=found,
        nothing=int(nothing),
        left_alone=int(nothing and not wrong),
    )
