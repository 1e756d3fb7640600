"""Small libraries of invented LoRAs: looks, effects and things of everyday words, of which little is known."""

from __future__ import annotations

import random
from functools import cache
from typing import NamedTuple

from intelligence.lora.search.ranker import background
from intelligence.lora.search.tokens import tokens
from intelligence.models import Architecture, LoRAKind, ModelMetadata, TriggerSet
from intelligence.prompt import ConceptCategory, load_vocabulary
from intelligence.prompt.clip_words import word_rank
from intelligence.prompt.vocabulary import HINT_WEIGHT
from tests.benchmarks.civitai import CivitaiLoRA

EFFECTS = ("magic", "fire", "smoke", "lightning", "glow", "sparkle", "water", "ice", "bubble", "crystal", "energy")
EVERYWHERE = 0.01
"""Share of the LoRAs from which a word of a look stands in many."""
USUAL_RANK = 6_000
"""Rank below which a word of a look is one that everybody uses."""
SHARES = (
    ("everywhere", 0.15),
    ("usual", 0.15),
    ("looks", 0.1),
    ("effects", 0.15),
    ("lights", 0.1),
    ("things", 0.2),
    ("pairs", 0.15),
)
"""Subjects of invented LoRAs."""
WORDS = {
    LoRAKind.STYLE: ("style", "art", "look"),
    LoRAKind.EFFECT: ("effects",),
    LoRAKind.CONCEPT: ("", "concept"),
}
"""Endings of their names, after the phrase."""
UNKNOWN = 0.35
"""Share of which nobody says what kind they are."""
KINDS = {
    "everywhere": LoRAKind.STYLE,
    "usual": LoRAKind.STYLE,
    "looks": LoRAKind.STYLE,
    "effects": LoRAKind.EFFECT,
    "lights": LoRAKind.EFFECT,
}


class Invented(NamedTuple):
    lora: CivitaiLoRA
    phrase: str
    """Words that call it."""
    kin: str
    """Another word of its look, one of its tags; empty for what is no look."""
    kind: LoRAKind


@cache
def phrases() -> dict[str, list[str]]:
    """The phrases of each sort in `SHARES`."""
    known = {" ".join(key): meaning for key, meaning in load_vocabulary().english.items() if len(key) < 3}
    looks = [phrase for phrase, meaning in known.items() if any(says > HINT_WEIGHT for _, says in meaning.styles)]
    shares = background()
    return {
        "everywhere": [look for look in looks if (own := shares.get("".join(tokens(look)))) and own.loras > EVERYWHERE],
        "usual": [look for look in looks if max(map(word_rank, look.split())) < USUAL_RANK],
        "looks": looks,
        "effects": [*EFFECTS],
        "lights": [phrase for phrase, meaning in known.items() if meaning.category is ConceptCategory.LIGHTING],
        "pairs": [p for p, meaning in known.items() if meaning.content and " " in p],
        "things": [p for p, meaning in known.items() if meaning.content and " " not in p and len(p) > 3],
    }


def group(rng: random.Random, first: int) -> list[Invented]:
    """A library of 3 to 14. Args: first: number of its first record, those of the others follow downwards."""
    made: list[Invented] = []
    taken: set[str] = set()
    for number in range(first, first - rng.randint(3, 14), -1):
        (sort,) = rng.choices([sort for sort, _ in SHARES], [share for _, share in SHARES])
        phrase = rng.choice(phrases()[sort])
        if not taken.intersection(phrase.split()):
            taken.update(phrase.split())
            made.append(_invented(rng, number, phrase, KINDS.get(sort, LoRAKind.CONCEPT)))
    return made


def _invented(rng: random.Random, number: int, phrase: str, kind: LoRAKind) -> Invented:
    whole = " ".join(filter(None, (phrase, rng.choice(WORDS[kind]))))
    related = rng.sample(phrases()["things"], 4)
    kin = _kin(rng, phrase) if kind is LoRAKind.STYLE else ""
    tags = {whole: 60, phrase: 50, **{other: 30 - 5 * n for n, other in enumerate((kin, *related)) if other}}
    triggers = (TriggerSet((rng.choice((whole, phrase)),), "made"),)
    model = ModelMetadata(
        model_id=f"lora:{number}.safetensors",
        name=whole.replace(" ", "_") + rng.choice(("", "_v2", "_xl", "-10")),
        local_path=f"/loras/{number}.safetensors",
        architecture=Architecture.SD1,
        lora_kind=LoRAKind.UNKNOWN if rng.random() < UNKNOWN else kind,
        trigger_sets=triggers if rng.random() < 0.8 else (),
        tags=tags if rng.random() < 0.6 else {},
        title=whole.title() if rng.random() < 0.3 else "",
    )
    return Invented(CivitaiLoRA(number, model, ()), phrase, kin, kind)


def _kin(rng: random.Random, phrase: str) -> str:
    known = load_vocabulary().english
    styles = {style for style, _ in known[tuple(phrase.split())].styles}
    return rng.choice([p for p in phrases()["looks"] if styles & {s for s, _ in known[tuple(p.split())].styles}])
