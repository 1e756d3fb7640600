"""Material of made queries: records with their names, captions, prompts, and small libraries of invented LoRAs."""

from __future__ import annotations

import ast
import csv
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from intelligence.lora.search.knowledge import Shown, shown_by
from intelligence.lora.search.naming import STRONG, NameSource, is_noise, naming_phrases, title_pieces, trimmed
from intelligence.lora.search.tokens import is_common, is_meta, tokens
from intelligence.models import LoRAKind
from intelligence.prompt.clip_words import UNKNOWN_RANK, word_rank
from tests.benchmarks.choice_invented import Invented, group
from tests.benchmarks.civitai import CivitaiLoRA, PromptQuery, tag_queries, without_names


@dataclass
class Made:
    """A made query."""

    kind: str
    text: str
    wanted: tuple[int, ...] = ()
    """Records."""
    absent: tuple[int, ...] = ()
    """Records that must not stand in the library."""
    near: tuple[int, ...] = ()
    """Records that should stand in the library as hard negatives."""
    open: tuple[int, ...] = ()
    """Records of which nobody can say whether they are wanted."""
    known_as: str = ""
    """Example prompts like this one are left out of the wanted records."""
    weight: float = 1.0


_SUBJECT = re.compile(
    r"^(?:a|an|the|one)\s+(?:(?:young|little|old|small|smiling|tall|happy)\s+)?"
    r"(?:man|woman|girl|boy|person|lady|guy|kid|child|dog|cat|baby|skateboarder|skier|surfer)\s+"
    r"(?=\w+ing\b|is\b|in\b|on\b|with\b)",
    re.IGNORECASE,
)


NO_SERIES = {
    *(
        "clothe",
        "clothing",
        "object",
        "style",
        "animal",
        "weapon",
        "medium",
        "female",
    ),
    *(
        "male",
        "cosplay",
        "outfit",
        "artist",
        "character",
        "realistic",
        "anime",
        "lora",
    ),
    *(
        "nsfw",
        "goofy",
        "characterpack",
        "nsfwsupport",
        "locon",
        "hentaiprotagonist",
        "characterlora",
        "goofyai",
    ),
    *(
        "multiple",
        "outfits",
        "concept",
    ),
}
"""Endings of many names that are no series."""


GROUPS = 300


@dataclass
class World:
    """Material of queries. Args: captions: odd rows; scenes: further natural prompts."""

    loras: Sequence[CivitaiLoRA]
    captions: Sequence[PromptQuery]
    plain: Sequence[str]
    rng: random.Random
    series: frozenset[str] = frozenset()
    names: dict[int, list[tuple[NameSource, tuple[str, ...]]]] = field(default_factory=dict)
    strong: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    of_series: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    gallery: dict[int, list[PromptQuery]] = field(default_factory=dict)
    groups: list[list[Invented]] = field(default_factory=list)
    """Small libraries of invented LoRAs."""

    def __post_init__(self) -> None:
        self.by_number = {lora.number: lora for lora in self.loras}
        for lora in self.loras:
            self.names[lora.number] = naming_phrases(lora.model)
            for source, phrase in self.names[lora.number]:
                key = "".join(phrase)
                if source in STRONG and lora.number not in self.strong[key][-1:]:
                    self.strong[key].append(lora.number)
                if source is NameSource.OTHER_PIECE or key in self.series:
                    self.of_series[key].append(lora.number)
            if found := tag_queries([lora], 3):
                self.gallery[lora.number] = found
        self.bases = [query for found in self.gallery.values() for query in found if query.prompt.count(",") > 4]
        self.subjects = [text[match.end() :].strip(" .") for text in self.plain if (match := _SUBJECT.match(text))]
        self.scenes = [text.strip(" .") for text in self.plain if len(text.split()) > 4]
        self.groups = [group(self.rng, -(1 + 100 * number)) for number in range(GROUPS)]
        for one in (one for inside in self.groups for one in inside):
            self.by_number[one.lora.number] = one.lora
            self.names[one.lora.number] = naming_phrases(one.lora.model)
        self.kinds = defaultdict(list)
        for lora in self.loras:
            if said := self.spoken(lora.number):
                sort = LoRAKind.CONCEPT if self.is_sort(lora.number, said) else lora.model.lora_kind
                self.kinds[sort].append(lora.number)

    def is_sort(self, number: int, name: str) -> bool:
        """Return whether a character's name says a sort of people or clothes: `werewolf`, `santa outfit`."""
        words = tokens(name)
        is_character = self.by_number[number].model.lora_kind is LoRAKind.CHARACTER
        return is_character and bool(words) and shown_by().get(words[-1]) in (Shown.PERSON, Shown.GARMENT)

    def spoken(self, number: int) -> str:
        """A person's words for what the record shows; empty where nothing says it."""
        model = self.by_number[number].model
        strong = {phrase for source, phrase in self.names[number] if source is NameSource.FIRST_PIECE}
        options = []
        for piece in title_pieces(model.title):
            phrase = trimmed(tokens(piece))
            if phrase in strong and piece.isascii() and 2 < len(piece) < 36 and not any(c.isdigit() for c in piece):
                words = [w for w in re.split(r"[\s_]+", piece) if w and not all(is_noise(t) for t in tokens(w))]
                options.append(" ".join(words))
        return next(
            (
                o
                for o in options
                if o
                and not all(is_common(t) for t in tokens(o))
                and (model.lora_kind is LoRAKind.STYLE or not self.is_series(o))
            ),
            "",
        )

    def is_series(self, phrase: str) -> bool:
        """Return whether a series is called so."""
        return "".join(trimmed(tokens(phrase))) in self.series

    def aliases(self, number: int) -> list[str]:
        """Further pieces of its title that say what it shows."""
        pieces = title_pieces(self.by_number[number].model.title)[1:]
        said = [
            " ".join(w for w in p.split() if not all(is_noise(t) for t in tokens(w))) for p in pieces if p.isascii()
        ]
        return [
            p
            for p in said
            if 3 < len(p) < 36 and not any(c.isdigit() for c in p) and not all(map(is_common, tokens(p)))
        ]

    def ordinary(self, number: int) -> str:
        """A single dictionary word that names it; empty where there is none."""
        words = [p[0] for s, p in self.names[number] if s in STRONG and len(p) == 1 and p[0].isalpha()]
        return next((w for w in words if len(w) > 2 and word_rank(w) < UNKNOWN_RANK and not is_common(w)), "")

    def trigger(self, number: int) -> str:
        sets = self.by_number[number].model.trigger_sets
        words = [
            s.words[0]
            for s in sets
            if s.words
            and 2 < len(s.words[0]) < 50
            and any(not is_common(t) and not is_meta(t) for t in tokens(s.words[0]))
        ]
        return self.rng.choice(words) if words else ""

    def origin(self, number: int) -> str:
        pieces = title_pieces(self.by_number[number].model.title)
        return next((p for p in pieces[1:] if "".join(tokens(p)) in self.series and p.isascii()), "")

    def hits(self, text: str) -> set[int]:
        """Records that the text names by a strong phrase."""
        found: set[int] = set()
        for piece in re.split(r"[,.;:!?\n|\"]+", text):
            words = tokens(piece)
            for start in range(len(words)):
                for end in range(start + 1, min(len(words), start + 5) + 1):
                    found.update(self.strong.get("".join(words[start:end]), ()))
        return found

    def strong_keys(self, number: int) -> set[str]:
        """Keys that name a record itself; a series names nothing but a style."""
        keys = {"".join(phrase) for source, phrase in self.names[number] if source in STRONG}
        return keys if self.by_number[number].model.lora_kind is LoRAKind.STYLE else keys - self.series

    def alike(self, number: int) -> set[int]:
        """A record and those that share a name with it."""
        return {number} | {other for key in self.strong_keys(number) for other in self.strong.get(key, ())}

    def same_subjects(self, made: Made) -> set[int]:
        """The wanted records of a query, and those that the very words which name them name as well."""
        runs = {
            "".join(words[start:end])
            for words in (tokens(piece) for piece in re.split(r"[,.;:!?\n|\"]+", made.text))
            for start in range(len(words))
            for end in range(start + 1, start + 7)
        }
        keys = {key for number in made.wanted for key in self.strong_keys(number) & runs}
        return {*made.wanted} | {number for key in keys for number in self.strong.get(key, ())}

    def base_tags(self, without: int | None = None) -> tuple[list[str], PromptQuery]:
        """Tags of a prompt of another record, without that record's own words."""
        while True:
            query = self.rng.choice(self.bases)
            bare = without_names(query, self.by_number)
            if bare and query.records[0] != without:
                tags = [tag.strip() for tag in bare.prompt.split(",") if len(tag.strip()) > 2]
                if len(tags) > 4:
                    return tags, query


def load_plain(captions: str, parti: str | None, *, odd_rows: bool = True) -> list[tuple[str, tuple[int, ...]]]:
    """Captions and, where given, natural prompts, with the records that labels put beside them."""
    found = []
    for path, column in ((captions, "caption"), (parti, "caption")):
        if path:
            with Path(path).open(newline="", encoding="utf-8") as file:
                for row, line in enumerate(csv.DictReader(file)):
                    if row % 2 == odd_rows:
                        labels = ast.literal_eval(line["ranked_adapters"].strip() or "{}")
                        found.append((line[column].strip(), tuple({n for ns in labels.values() for n in ns})))
    return found


def find_series(loras: Sequence[CivitaiLoRA]) -> frozenset[str]:
    """Keys of series: what stands in parentheses behind three names or more, or beside the name in titles of five."""
    behind: defaultdict[str, set[str]] = defaultdict(set)
    qualifier = re.compile(r"([\w' .-]{2,40}?)\s*\\?\(([^()\\]{3,40})\\?\)")
    for lora in loras:
        texts = [word for s in lora.model.trigger_sets for word in s.words] + [lora.model.title]
        texts += [image.prompt.replace("_", " ") for image in lora.images[:6]]
        for text in texts:
            for name, series in qualifier.findall(text.replace("\\", "")):
                if not any(c.isdigit() for c in series):
                    behind["".join(tokens(series))].add("".join(tokens(name)))
    beside: defaultdict[str, set[str]] = defaultdict(set)
    for lora in loras:
        if lora.model.lora_kind is LoRAKind.CHARACTER:
            pieces = [key for piece in title_pieces(lora.model.title) if (key := "".join(trimmed(tokens(piece))))]
            for number, key in enumerate(pieces):
                beside[key].update(pieces[:number])
    found = {key for key, names in behind.items() if len(names) >= 3 and (len(beside[key]) >= 2 or len(names) >= 6)}
    found |= {key for key, names in beside.items() if len(names) >= 4}
    return frozenset(
        key for key in found if key not in NO_SERIES and len(key) > 3 and not is_meta(key) and word_rank(key) > 3000
    )
