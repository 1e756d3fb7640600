"""LoRAs of what a prompt does not want: python -m tests.benchmarks.negation --json

Made prompts name a thing of which the library has a LoRA, once to say that they do not want it (`left_alone`: neither
applied nor written into the prompt) and once, in the same words without the negation, because they do (`found`). Those
of IDIOMS hold a negating word and want the thing all the same. Of the labelled sentences in `data/negation.jsonl` is
measured whether the words that they want, and only these, are read as wanted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from intelligence.config import LoRAPreferences
from intelligence.lora import LoRARecommender, compose_prompts
from intelligence.models import Architecture, LoRAKind, ModelEvidence
from intelligence.prompt import PromptAnalyzer, wanted_text
from intelligence.prompt.words import terms
from tests.benchmarks.report import parser, report
from tests.benchmarks.understanding import DATA, share
from tests.lora.library import Library, lora

SDXL = ModelEvidence(name="sd_xl_base_1.0", architecture=Architecture.SDXL)


class Thing(NamedTuple):
    """A thing, in both languages, of which the library has a LoRA."""

    name: str
    en: str
    an: str
    """With its article."""
    es: str
    un: str


WORN = (
    Thing("ThinGlasses", "thin glasses", "thin glasses", "gafas finas", "gafas finas"),
    Thing("WeddingDress", "wedding dress", "a wedding dress", "vestido de novia", "un vestido de novia"),
    Thing("witch_hat_v2", "witch hat", "a witch hat", "sombrero de bruja", "un sombrero de bruja"),
    Thing("space-helmet", "space helmet", "a space helmet", "casco espacial", "un casco espacial"),
    Thing("samurai armor XL", "samurai armor", "samurai armor", "armadura de samurai", "una armadura de samurai"),
    Thing("bowtie_xl", "bow tie", "a bow tie", "pajarita", "una pajarita"),
    Thing("GoldenCrown", "golden crown", "a golden crown", "corona dorada", "una corona dorada"),
    Thing("school-backpack", "backpack", "a backpack", "mochila", "una mochila"),
    Thing("eyepatch", "eye patch", "an eye patch", "parche en el ojo", "un parche en el ojo"),
    Thing("gasmask", "gas mask", "a gas mask", "máscara de gas", "una máscara de gas"),
)
SEEN = (
    Thing("DragonXL", "dragon", "a dragon", "dragón", "un dragón"),
    Thing("mermaid_concept", "mermaid", "a mermaid", "sirena", "una sirena"),
    Thing("neon-signs", "neon signs", "neon signs", "letreros de neón", "letreros de neón"),
    Thing("Windmills", "windmill", "a windmill", "molino de viento", "un molino de viento"),
    Thing("steam_train", "steam train", "a steam train", "tren de vapor", "un tren de vapor"),
    Thing("Lighthouses", "lighthouse", "a lighthouse", "faro", "un faro"),
    Thing("red_umbrella", "red umbrella", "a red umbrella", "paraguas rojo", "un paraguas rojo"),
    Thing("ww2-tank", "tank", "a tank", "tanque", "un tanque"),
    Thing("CastleConcept", "castle", "a castle", "castillo", "un castillo"),
    Thing("hot air balloon", "hot air balloon", "a hot air balloon", "globo aerostático", "un globo aerostático"),
)
LOOKS = (
    Thing("watercolor_sdxl", "watercolor", "watercolor", "acuarela", "acuarela"),
    Thing("PixelArtRedmond", "pixel art", "pixel art", "pixel art", "pixel art"),
    Thing("cyberpunk_style", "cyberpunk", "cyberpunk", "cyberpunk", "cyberpunk"),
    Thing("lowpoly", "low poly", "low poly", "low poly", "low poly"),
    Thing("Oil_Painting_v1", "oil painting", "oil painting", "pintura al óleo", "pintura al óleo"),
    Thing("steampunkai", "steampunk", "steampunk", "steampunk", "steampunk"),
)

NEGATED: dict[str, tuple[tuple[Sequence[Thing], str, str], ...]] = {
    "english_sentences": (
        (WORN, "An old woman without {an} waits at a bus stop", "An old woman with {an} waits at a bus stop"),
        (WORN, "A man not wearing {an} stands on a bridge", "A man wearing {an} stands on a bridge"),
        (WORN, "She isn't wearing {an} and walks through the rain", "She is wearing {an} and walks through the rain"),
        (WORN, "a portrait of a nurse who never wears {an}", "a portrait of a nurse who wears {an}"),
        (WORN, "A farmer holds a lantern instead of {an}", "A farmer holds a lantern beside {an}"),
        (WORN, "I don't want {an} on her, just a plain coat", "I want {an} on her, and a plain coat"),
        (SEEN, "A quiet harbour at dawn without {an}", "A quiet harbour at dawn with {an}"),
        (SEEN, "There is no {en} in this valley, only sheep", "There is {an} in this valley, and sheep"),
        (SEEN, "Rather than {an}, show an empty road", "Show {an} on an empty road"),
        (SEEN, "A village street, but please avoid {en}", "A village street, and please add {an}"),
        (SEEN, "The picture should not show {an}", "The picture should show {an}"),
        (SEEN, "a hill free of {en}, with tall grass", "a hill full of {en}, with tall grass"),
        (LOOKS, "A fox in a forest, anything but {en}", "A fox in a forest, made in {en}"),
        (LOOKS, "A city in the morning, not {en}", "A city in the morning, {en}"),
        (LOOKS, "Please don't make it {en}: a mill on a rock", "Please make it {en}: a mill on a rock"),
        (LOOKS, "A non-{en} picture of a kitchen", "A {en} picture of a kitchen"),
    ),
    "english_tags": (
        (WORN, "1girl, no {en}, brown hair, smile, park", "1girl, {en}, brown hair, smile, park"),
        (WORN, "1boy, without {en}, short hair, street", "1boy, {en}, short hair, street"),
        (SEEN, "scenery, no {en}, cloudy sky, hill", "scenery, {en}, cloudy sky, hill"),
        (SEEN, "no people, (no {en}:1.2), lake, night", "no people, ({en}:1.2), lake, night"),
        (LOOKS, "cat, window, not {en}, soft light", "cat, window, {en}, soft light"),
        (LOOKS, "barn, no {en}, sunset", "barn, {en}, sunset"),
    ),
    "spanish_sentences": (
        (WORN, "una anciana sin {es} espera el autobús", "una anciana con {un} espera el autobús"),
        (WORN, "un hombre que no lleva {un} en un puente", "un hombre que lleva {un} en un puente"),
        (WORN, "una mujer que nunca usa {un} en la playa", "una mujer que usa {un} en la playa"),
        (WORN, "en vez de {un} lleva un abrigo gris", "lleva {un} y un abrigo gris"),
        (SEEN, "un puerto tranquilo sin {un} al amanecer", "un puerto tranquilo con {un} al amanecer"),
        (SEEN, "no quiero ver {un}, solo una carretera vacía", "quiero ver {un} y una carretera vacía"),
        (SEEN, "una colina con hierba, evita {un}", "una colina con hierba, añade {un}"),
        (SEEN, "en lugar de {un} dibuja una vaca", "dibuja {un} y una vaca"),
        (LOOKS, "un zorro en el bosque, cualquier cosa menos {es}", "un zorro en el bosque, en {es}"),
        (LOOKS, "una ciudad por la mañana que no sea {es}", "una ciudad por la mañana que sea {es}"),
    ),
    "spanish_tags": (
        (WORN, "1chica, sin {es}, pelo castaño, sonrisa, parque", "1chica, {es}, pelo castaño, sonrisa, parque"),
        (SEEN, "paisaje, sin {es}, cielo nublado, colina", "paisaje, {es}, cielo nublado, colina"),
        (LOOKS, "granja, nada de {es}, atardecer", "granja, {es}, atardecer"),
    ),
}
"""Part → (things, negated prompt, the same one without the negation)."""

IDIOMS = (
    (WORN, "No doubt she looks good with {an}"),
    (WORN, "A pirate who never leaves the house without {an}"),
    (WORN, "Don't forget {an} on the old man"),
    (SEEN, "Nothing but {an} on a white plain"),
    (SEEN, "Not only {an} but also a small boat on the lake"),
    (SEEN, "The children can't stop looking at {an}"),
    (SEEN, "an empty field except for {an}"),
    (SEEN, "sin duda hay {un} en el lago"),
    (SEEN, "no olvides {un} junto al lago"),
)
"""(things, prompt that wants them)."""


def library() -> Library:
    """Return a LoRA of each thing."""
    kinds = ((WORN, LoRAKind.CONCEPT), (SEEN, LoRAKind.CONCEPT), (LOOKS, LoRAKind.STYLE))
    known = [
        lora(thing.name, thing.en, title=thing.en.title(), kind=kind) for things, kind in kinds for thing in things
    ]
    return Library(*known, lora("samus_aran", "samus aran", title="Samus Aran", kind=LoRAKind.CHARACTER))


class Chooser:
    """The choice of LoRAs for a prompt, at the default threshold."""

    def __init__(self) -> None:
        self.analyzer, self.recommender = PromptAnalyzer(), LoRARecommender(library())

    def applies(self, prompt: str, thing: Thing) -> bool:
        """Return whether the thing's LoRA is applied, or its trigger word written into the prompt."""
        analysis = self.analyzer.analyze(prompt)
        preferences = LoRAPreferences()
        chosen = self.recommender.choose(
            analysis, SDXL, max_loras=preferences.max_loras, min_confidence=preferences.min_confidence
        ).chosen
        woven = compose_prompts(analysis, chosen).prompt.casefold()
        added = woven.count(thing.en) > prompt.casefold().count(thing.en)
        return added or thing.name in [one.lora_name for one in chosen]


def pairs(part: str) -> Iterator[tuple[str, str, Thing]]:
    """Yield negated prompts of a part, each with the same one without the negation, and its thing."""
    for things, negated, wanted in NEGATED[part]:
        for thing in things:
            yield negated.format(**thing._asdict()), wanted.format(**thing._asdict()), thing


def sentences() -> list[dict[str, list[str] | str]]:
    """Return the labelled sentences: `prompt`, and the phrases that are `wanted` and `unwanted`."""
    return [json.loads(line) for line in (DATA / "negation.jsonl").read_text(encoding="utf-8").splitlines()]


def has(text: str, phrase: str) -> bool:
    words, looked_for = terms(text), terms(phrase)
    return any(words[at : at + len(looked_for)] == looked_for for at in range(len(words)))


def main() -> None:
    arguments = parser(__doc__ or "").parse_args()
    chooser = Chooser()
    figures: dict[str, float | int | str | bool | None] = {}
    left_alone: list[bool] = []
    found: list[bool] = []
    for part in NEGATED:
        made = list(pairs(part))
        left = [not chooser.applies(negated, thing) for negated, _, thing in made]
        right = [chooser.applies(wanted, thing) for _, wanted, thing in made]
        figures |= {part: len(made), f"{part}_left_alone": share(left), f"{part}_found": share(right)}
        left_alone, found = [*left_alone, *left], [*found, *right]
    figures |= {"negated": len(left_alone), "left_alone": share(left_alone), "found": share(found)}
    idioms = [(text.format(**thing._asdict()), thing) for things, text in IDIOMS for thing in things]
    figures |= {"idioms": len(idioms), "idioms_found": share(chooser.applies(text, thing) for text, thing in idioms)}
    rows = sentences()
    read = [(wanted_text(chooser.analyzer.analyze(str(row["prompt"]))), row) for row in rows]
    kept = [has(text, phrase) for text, row in read for phrase in row["wanted"]]
    out = [not has(text, phrase) for text, row in read for phrase in row["unwanted"]]
    figures |= {"sentences": len(rows), "sentences_kept": share(kept), "sentences_out": share(out)}
    report(figures, arguments.json)


if __name__ == "__main__":
    main()
