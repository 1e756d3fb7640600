"""Which words mean what: `vocabulary.json`, and a user's own file of the same form on top of it.

The file's parts:

- `styles`: per style, `words` that say it and `hints` that suggest it.
- `content`: per content type, what a picture may show; `weak_content`: what is mostly an accessory of something else;
  `names`: well-known figures.
- `concepts`: per category, whatever is neither style nor content. `garments`: what is worn. `quality`: per level.
- `families`: per model family, its quality tags with their weight.
- `spanish`: Spanish phrase → English phrase. `spanish_adjectives`: the same for adjectives, in the masculine singular.
- Lists of words with a part in grammar: `function_words` (per language) separate phrases; things after `adjunct_words`
  only accompany others, and who stands after `company_words` does so as a second person; what comes after
  `inside_words` is seen from inside, an animal after `cooking_words` is food, what comes before `describing_words` only
  describes; `containers` give way to what they hold when one of `of_words` follows;
  `negating_words`, `joining_words` and `person_words` say so; unknown words with one of the `person_endings`, or before
  one of `person_acts`, are people; an animal with a person's trade is an animal unless the trade is one of
  `beast_handlers`; what stands before `picture_words` is shown on them; `close_ups` of a person and their `faces` are
  portraits unless one of `full_figures` stands beside them; `person_views` hint at a person, and `solo_words` say that
  there is no other.
- `spelled_right`: words that are no slip of the pen, near as they are to one of the vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from ..config import HOME_VARIABLE
from ..errors import InvalidInputError
from .analysis import ArtisticStyle, ConceptCategory, ContentType, QualityLevel
from .spelling import Spelling
from .words import fold, singular, terms

BUILT_IN = Path(__file__).with_name("vocabulary.json")

HINT = 0.4
"""How much a word that only suggests a style counts, against 1 for one that says it."""

_CONTENT_PARTS = ("content", "weak_content", "names")
_WORD_LISTS = (
    "adjunct_words",
    "of_words",
    "negating_words",
    "joining_words",
    "person_words",
    "person_endings",
    "person_acts",
    "solo_words",
    "containers",
    "close_ups",
    "full_figures",
    "person_views",
    "company_words",
    "inside_words",
    "cooking_words",
    "describing_words",
    "faces",
    "beast_handlers",
    "picture_words",
    "spelled_right",
)
_CONTENT_CATEGORY = {
    ContentType.CHARACTER: ConceptCategory.CHARACTER,
    ContentType.PORTRAIT: ConceptCategory.CAMERA,
    ContentType.GROUP: ConceptCategory.CHARACTER,
    ContentType.LANDSCAPE: ConceptCategory.SETTING,
    ContentType.ARCHITECTURE: ConceptCategory.SETTING,
    ContentType.INTERIOR: ConceptCategory.SETTING,
    ContentType.ABSTRACT: ConceptCategory.STYLE,
}


@dataclass(frozen=True)
class Meaning:
    """What one phrase of the vocabulary says."""

    phrase: str
    """In English."""
    category: ConceptCategory
    styles: tuple[tuple[ArtisticStyle, float], ...] = ()
    content: tuple[ContentType, ...] = ()
    weak: bool = False
    """Whether it is mostly an accessory of the picture's content."""
    quality: QualityLevel | None = None
    garment: bool = False


def somebody(word: str) -> Meaning:
    """The meaning of a word that must be a person."""
    return Meaning(word, ConceptCategory.CHARACTER, content=(ContentType.CHARACTER,))


@dataclass(frozen=True)
class Match:
    """A phrase found at `terms[start:end]`."""

    start: int
    end: int
    meaning: Meaning


Phrasebook = dict[tuple[str, ...], Meaning]


@dataclass(frozen=True)
class Vocabulary:
    """Phrases by their terms (folded, singular), ready to be looked up."""

    english: Phrasebook
    names: Phrasebook = field(default_factory=dict)
    spanish: Phrasebook = field(default_factory=dict)
    spanish_adjectives: dict[str, str] = field(default_factory=dict)
    families: dict[str, dict[tuple[str, ...], tuple[str, float]]] = field(default_factory=dict)
    """Per family, terms → the tag and its weight."""
    function_words: dict[str, frozenset[str]] = field(default_factory=dict)
    adjunct_words: frozenset[str] = frozenset()
    of_words: frozenset[str] = frozenset()
    negating_words: frozenset[str] = frozenset()
    joining_words: frozenset[str] = frozenset()
    person_words: frozenset[str] = frozenset()
    person_endings: frozenset[str] = frozenset()
    person_acts: frozenset[str] = frozenset()
    containers: frozenset[str] = frozenset()
    solo_words: frozenset[str] = frozenset()
    close_ups: frozenset[str] = frozenset()
    full_figures: frozenset[str] = frozenset()
    person_views: frozenset[str] = frozenset()
    company_words: frozenset[str] = frozenset()
    inside_words: frozenset[str] = frozenset()
    cooking_words: frozenset[str] = frozenset()
    describing_words: frozenset[str] = frozenset()
    faces: frozenset[str] = frozenset()
    beast_handlers: frozenset[str] = frozenset()
    picture_words: frozenset[str] = frozenset()
    spelled_right: frozenset[str] = frozenset()

    def find(self, words: Sequence[str], language: str = "en", *, misspelt: bool = True) -> list[Match]:
        """The phrases in `words` (terms), longest first, none overlapping another; Spanish ones where it is Spanish.

        English words may be `misspelt`.
        """
        books = (self.spanish, self.english, self.names) if language == "es" else (self.english, self.names)
        found: list[Match] = []
        position = 0
        while position < len(words):
            match = self._at(words, position, books) or self._guess(
                words[position], position, misspelt and language == "en"
            )
            if match:
                found.append(match)
            position = match.end if match else position + 1
        return found

    def _at(self, words: Sequence[str], position: int, books: Sequence[Phrasebook]) -> Match | None:
        word = words[position]
        for length in range(min(self._longest.get(word, 0), len(words) - position), 0, -1):
            key = tuple(words[position : position + length])
            for book in books:
                if key in book:
                    return Match(position, position + length, book[key])
        return None

    def _guess(self, word: str, position: int, misspelt: bool) -> Match | None:
        """What a word that stands in no list means by its ending, or if it is misspelt."""
        if word.endswith(self._endings) and any(
            word.endswith(ending) and len(word) > len(ending) + 3 for ending in self._endings
        ):
            return Match(position, position + 1, somebody(word))
        right = self._spelling.meant(word) if misspelt and word not in self.spelled_right else None
        return Match(position, position + 1, self.english[right,]) if right else None

    @cached_property
    def _endings(self) -> tuple[str, ...]:
        return tuple(self.person_endings)

    @cached_property
    def _longest(self) -> dict[str, int]:
        """First word of phrases → how many words the longest of them has."""
        longest: dict[str, int] = {}
        for book in (self.english, self.names, self.spanish):
            for key in book:
                if len(key) > longest.get(key[0], 0):
                    longest[key[0]] = len(key)
        return longest

    @cached_property
    def _spelling(self) -> Spelling:
        """Of the single words that say what a picture shows."""
        return Spelling(key[0] for key, meaning in self.english.items() if len(key) == 1 and meaning.content)


def load(path: Path | None = None) -> Vocabulary:
    """The built-in vocabulary, extended by the file at `path` where there is one. Read again when the file changes.

    Raises:
        InvalidInputError: the file is not readable as a vocabulary.
    """
    if path is None:
        return _built_in()
    try:
        status = path.stat()
    except FileNotFoundError:
        return _built_in()
    except OSError as error:
        remedy = f"name another data folder in the environment variable {HOME_VARIABLE}"
        raise InvalidInputError(f"{path}: cannot be read as the user's vocabulary ({error}); {remedy}") from None
    return _extended(path, status.st_mtime_ns, status.st_size)


@cache
def _built_in() -> Vocabulary:
    return _build(json.loads(BUILT_IN.read_text(encoding="utf-8")))


@lru_cache(maxsize=4)
def _extended(path: Path, modified: int, size: int) -> Vocabulary:
    """`modified` and `size` only tell one state of the file from another."""
    return _build(_merged(json.loads(BUILT_IN.read_text(encoding="utf-8")), _own(path)))


def _own(path: Path) -> Any:
    """The user's entries. Raises InvalidInputError."""
    from pydantic import ValidationError

    remedy = f"it extends {BUILT_IN.name} of this package and must have its form, with any of its parts"
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
        return _file_type().model_validate(data).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "[key]") or "the whole"
        raise InvalidInputError(f"{path}: {where}: {first['msg']}; {remedy}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path}: not a vocabulary ({error}); {remedy}") from None


@cache
def _file_type() -> Any:
    """The vocabulary file's pydantic type."""
    from pydantic import ConfigDict, create_model

    form = ConfigDict(extra="forbid", allow_inf_nan=False)
    style: Any = create_model("Style", __config__=form, words=(list[str], []), hints=(list[str], []))
    parts: dict[str, Any] = {
        "function_words": dict[Literal["en", "es"], list[str]],
        "styles": dict[ArtisticStyle, style],
        **dict.fromkeys(_CONTENT_PARTS, dict[ContentType, list[str]]),
        "concepts": dict[ConceptCategory, list[str]],
        "garments": list[str],
        "quality": dict[QualityLevel, list[str]],
        "families": dict[str, dict[str, float]],
        **dict.fromkeys(("spanish", "spanish_adjectives"), dict[str, str]),
        **dict.fromkeys(_WORD_LISTS, list[str]),
    }
    fields: dict[str, Any] = {name: (kind, None) for name, kind in parts.items()}
    return create_model("Vocabulary", __config__=form, **fields)


def _merged(base: Any, own: Any) -> Any:
    """`base` with the entries of `own` added; where both translate or weigh a word, the user's stands."""
    if isinstance(base, dict):
        return base | {key: _merged(base[key], value) if key in base else value for key, value in own.items()}
    return base + own if isinstance(base, list) else own


def _build(data: dict[str, Any]) -> Vocabulary:
    english: Phrasebook = {}
    names: Phrasebook = {}

    def add(book: Phrasebook, meaning: Meaning) -> None:
        key = terms(meaning.phrase)
        known = book.get(key)
        book[key] = _united(known, meaning) if known else meaning

    for level, phrases in data["quality"].items():
        for phrase in phrases:
            add(english, Meaning(phrase, ConceptCategory.QUALITY, quality=QualityLevel(level)))
    for part in _CONTENT_PARTS:
        book = names if part == "names" else english
        for kind, phrases in data[part].items():
            content = ContentType(kind)
            category = _CONTENT_CATEGORY.get(content, ConceptCategory.CONTENT)
            for phrase in phrases:
                add(book, Meaning(phrase, category, content=(content,), weak=part == "weak_content"))
    for category, phrases in data["concepts"].items():
        for phrase in phrases:
            add(english, Meaning(phrase, ConceptCategory(category)))
    for phrase in data["garments"]:
        add(english, Meaning(phrase, ConceptCategory.CHARACTER, garment=True))
    for name, lists in data["styles"].items():
        for kind, weight in (("words", 1.0), ("hints", HINT)):
            for phrase in lists.get(kind, ()):
                add(english, Meaning(phrase, ConceptCategory.STYLE, styles=((ArtisticStyle(name), weight),)))
    _inherit(english)
    for book in (english, names):
        book.pop((), None)
    plain = Vocabulary(english, names)
    spanish: Phrasebook = {}
    for phrase, meaning in sorted(data["spanish"].items(), key=lambda item: len(item[0])):  # the singular first
        for form in _forms(phrase):
            spanish.setdefault(terms(form), _translated(plain, meaning))
    spanish.pop((), None)
    return Vocabulary(
        english=english,
        names=names,
        spanish=spanish,
        spanish_adjectives={
            singular(fold(form)): english_word
            for word, english_word in data["spanish_adjectives"].items()
            for gender in _genders(word)
            for form in _forms(gender)
        },
        families={
            family: {terms(tag): (tag, weight) for tag, weight in tags.items()}
            for family, tags in data["families"].items()
        },
        function_words={language: frozenset(map(fold, words)) for language, words in data["function_words"].items()},
        **{name: frozenset(map(fold, data[name])) for name in _WORD_LISTS},
    )


def _united(known: Meaning, more: Meaning) -> Meaning:
    """One meaning of a phrase that stands in two of the lists; its category is that of the first."""
    return replace(
        known,
        styles=(*known.styles, *more.styles),
        content=tuple(dict.fromkeys((*known.content, *more.content))),
        quality=more.quality or known.quality,
        garment=known.garment or more.garment,
    )


def _inherit(english: Phrasebook) -> None:
    """What a phrase's last word says, the phrase says too: a `quick sketch` is a drawing, a `vector logo` an object."""
    for key, meaning in english.items():
        last = english.get(key[-1:]) if len(key) > 1 else None
        if last and not meaning.styles and any(weight == 1.0 for _, weight in last.styles):
            english[key] = replace(meaning, styles=last.styles)
        elif (
            last and not meaning.content and meaning.styles and last.content == (ContentType.OBJECT,) and not last.weak
        ):
            english[key] = replace(meaning, content=last.content)


def _translated(vocabulary: Vocabulary, phrase: str) -> Meaning:
    """What an English phrase means: what its last part with a content shows, in the style of any of its parts."""
    found = [match.meaning for match in vocabulary.find(terms(phrase), misspelt=False)]
    if not found:
        return Meaning(phrase, ConceptCategory.CONTENT)
    said = max(reversed(found), key=lambda meaning: (bool(meaning.content), bool(meaning.styles)))
    styled = max(found, key=lambda meaning: bool(meaning.styles))
    return replace(said, phrase=phrase, styles=styled.styles)


def _forms(phrase: str) -> tuple[str, ...]:
    """A Spanish phrase and the plural that `singular` does not undo: `flor` → `flores`, `luz` → `luces`."""
    if phrase.endswith("z"):
        return phrase, f"{phrase[:-1]}ces"
    return (phrase, f"{phrase}es") if phrase.endswith(("d", "j", "l", "n", "r")) else (phrase,)


def _genders(adjective: str) -> tuple[str, ...]:
    """A Spanish adjective in both genders: `rojo`, `roja`; `japones`, `japonesa`."""
    if adjective.endswith("o"):
        return adjective, f"{adjective[:-1]}a"
    return (adjective, f"{adjective}a") if adjective.endswith(("or", "es", "an")) else (adjective,)
