"""How near the suggested strength comes to what people used: python -m tests.benchmarks.strength --records DIR --json

Every use of a LoRA that a record's images tell (`<lora:…:w>` or its resources) is held out in turn and suggested from
the others of its record, from the other LoRAs of its creator, and from its description. Figures are mean absolute
errors: with all other uses known, and with 0, 1 or 2 of them drawn at random; beside them the median of all LoRAs of
even numbers, and the LoRA's own median. What the suggestion's constants were measured on are even numbers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, median

from intelligence.lora.search import ranker
from intelligence.lora.strength import Strengths
from intelligence.models import ExamplePrompt, ModelMetadata
from tests.benchmarks.civitai import IDS, CivitaiLoRA, in_ids, load_records
from tests.benchmarks.report import parser, report

KNOWN = {"all": None, "0": 0, "1": 1, "2": 2}


def uses(lora: CivitaiLoRA) -> list[ExamplePrompt]:
    """Every image whose prompt says how strongly the record's own LoRA was applied."""
    return [
        ExamplePrompt(image.prompt, use.weight, len(image.uses) > 1, image.version)
        for image in lora.images
        for use in image.uses
        if use.record == lora.number and use.weight is not None
    ]


def with_uses(lora: CivitaiLoRA, known: Sequence[ExamplePrompt], version: int | None = None) -> ModelMetadata:
    """The LoRA as a library knows it that has seen these uses."""
    number = lora.number if version is None else f"{lora.number}:{version}"
    return replace(lora.model, example_prompts=tuple(known), source_id=str(number))


def errors(
    loras: Sequence[CivitaiLoRA], strengths: Strengths, usual: float, known: int | None
) -> dict[str, list[tuple[float, bool]]]:
    """Absolute errors of each way to suggest, each with whether the use was a stacked one."""
    rng = random.Random(0)
    found: dict[str, list[tuple[float, bool]]] = {"suggested": [], "usual": [], "own": []}
    for lora in loras:
        seen = uses(lora)
        for number, held_out in enumerate(seen):
            rest = seen[:number] + seen[number + 1 :]
            if known is not None:
                if len(rest) < known:
                    continue
                rest = rng.sample(rest, known)
            model, stacked = with_uses(lora, rest, held_out.version), bool(held_out.stacked)
            others = [(with_uses(lora, ()), 0.0)] if stacked else []
            (suggested,) = strengths.together([model], others)
            own = median(use.weight or 0.0 for use in rest) if rest else usual
            for name, value in (("suggested", suggested.value), ("usual", usual), ("own", own)):
                found[name].append((abs(value - (held_out.weight or 0.0)), stacked))
    return found


def figures(loras: Sequence[CivitaiLoRA], strengths: Strengths, usual: float) -> dict[str, float | int]:
    found: dict[str, float | int] = {}
    for name, known in KNOWN.items():
        by_way = errors(loras, strengths, usual, known)
        found[f"mae_known_{name}"] = fmean(error for error, _ in by_way["suggested"])
        found[f"mae_known_{name}_usual"] = fmean(error for error, _ in by_way["usual"])
        found[f"mae_known_{name}_own_median"] = fmean(error for error, _ in by_way["own"])
        if known is None:
            found["uses"] = len(by_way["suggested"])
            found["mae_stacked"] = fmean(error for error, stacked in by_way["suggested"] if stacked)
    return found


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--records", required=True, help="folder of CivitAI model records")
    arguments.add_argument("--ids", choices=IDS, default="odd")
    options = arguments.parse_args()
    loras = load_records(options.records)
    models = [with_uses(lora, uses(lora), 0) for lora in loras]
    strengths = Strengths(models, ranker.build_index(models).loras)
    usual = median(use.weight or 0.0 for lora in loras if lora.even for use in uses(lora))
    found: dict[str, float | int] = {"loras": len(loras)}
    for ids in ("odd", "even") if options.ids == "all" else (options.ids,):
        chosen = [lora for lora in loras if in_ids(lora.number, ids)]
        found |= {f"{ids}_{name}": value for name, value in figures(chosen, strengths, usual).items()}
    report(found, options.json)


if __name__ == "__main__":
    main()
