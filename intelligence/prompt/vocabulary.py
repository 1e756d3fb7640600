"""The vocabulary: phrases and their meanings, read from `lists/` and from a user's own `vocabulary.json`.

The lists are text files, a phrase a line; those of `spanish`, `spanish_adjectives` and `families` hold `phrase =
English phrase` or `tag = weight`. The user's file is one JSON object of the shape of that folder:

- `styles`: per style, `words` that say it and `hints` that suggest it.
- `content`: per content type, what a picture may show; `weak_content`: what is mostly an accessory of something else;
  `names`: well-known figures.
- `concepts`: per category, whatever is neither style nor content. `garments`: what is worn. `quality`: per level.
- `families`: per model family, its quality tags with their weight.
- `spanish`: Spanish phrase → English phrase. `spanish_adjectives`: the same for adjectives, in the masculine singular.
- `function_words`: per language, words that separate phrases.

All other files are word lists. After an adjunct word (`in`) a thing only accompanies others, after a company word
(`beside`) a person is a second one; after an inside word things are seen from inside, after a cooking word an animal is
food. Phrases before a describing word only describe (`heart shaped`); those before a picture word are shown on it.
`containers` give way to what they hold, `beast_handlers` are trades whose names begin with an animal. Unknown words
with a person ending, or before a person act, are people; person views hint at one. A person in one of the `close_ups`
is a portrait, unless one of the `full_figures` is named too. Words `spelled_right` are not misspelt others.

What a prompt does not want follows `negating_words`, `lacking_words` (which another negation before them cancels),
`leaving_out_words` (which are orders), or `exceptive_words` that take it out of `all_words`, but not out of
`none_words`; it comes before `absence_words`. It is found behind `determiners` and `carrying_words`, and ends at
`contrast_words`. Phrases `not_negating_words` hold a negating word and negate nothing. In all of these an apostrophe
is a space: `don t`.

Trigger words that hold `explicit_words` are never added to a prompt that does not name them, unless these stand in
`innocent_words`. A person wears one of the `whole_outfits`, and has hair and eyes of one of the `colours`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from ..config import data_folder
from ..validation import read_user_file
from .analysis import ArtisticStyle, ConceptCategory, ContentType, QualityLevel
from .words import Spelling, fold, singular, terms

LISTS = Path(__file__).with_name("lists")

USER_VOCABULARY = "vocabulary.json"
"""Name of the user's own vocabulary in the data folder."""
HINT_WEIGHT = 0.4
"""Weight of a word that only suggests a style, against 1 for one that says it."""

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
    """Meaning of one phrase."""

    phrase: str
    """In English."""
    category: ConceptCategory
    styles: tuple[tuple[ArtisticStyle, float], ...] = ()
    content: tuple[ContentType, ...] = ()
    weak: bool = False
    """It is mostly an accessory of the picture's content."""
    quality: QualityLevel | None = None
    garment: bool = False
    """It is worn."""

    @cached_property
    def folded(self) -> str:
        """The phrase without case and accents, as the word lists hold it."""
        return fold(self.phrase)


def unknown_person(word: str) -> Meaning:
    """Meaning of a word that must be a person."""
    return Meaning(word, ConceptCategory.CHARACTER, content=(ContentType.CHARACTER,))


@dataclass(frozen=True)
class Match:
    """A phrase found at `terms[start:end]`."""

    start: int
    end: int
    meaning: Meaning


Phrasebook = Mapping[tuple[str, ...], Meaning]
"""Terms of phrases → what these mean."""


class _Book(Phrasebook):
    """A phrasebook of few objects: each of thousands would make garbage collections longer, which hold up servers."""

    def __init__(self, meanings: Phrasebook) -> None:
        senses: dict[Meaning, int] = {}
        self._phrases = {
            key: (meaning.phrase, senses.setdefault(replace(meaning, phrase=""), len(senses)))
            for key, meaning in meanings.items()
        }
        self._senses = tuple(senses)

    def __getitem__(self, key: tuple[str, ...]) -> Meaning:
        phrase, sense = self._phrases[key]
        return replace(self._senses[sense], phrase=phrase)

    def __contains__(self, key: object) -> bool:
        return key in self._phrases

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(self._phrases)

    def __len__(self) -> int:
        return len(self._phrases)


@dataclass(frozen=True)
class Vocabulary:
    """Phrases by their terms, with what they mean."""

    english: Phrasebook
    names: Phrasebook = field(default_factory=dict)
    """Well-known figures."""
    spanish: Phrasebook = field(default_factory=dict)
    spanish_adjectives: dict[str, str] = field(default_factory=dict)
    """Spanish adjective, singular and folded, → the English one."""
    families: dict[str, dict[str, float]] = field(default_factory=dict)
    """Per model family, quality tag → its weight."""
    function_words: dict[str, frozenset[str]] = field(default_factory=dict)
    """Per language (`en`, `es`), words that separate phrases."""
    lists: dict[str, frozenset[str]] = field(default_factory=dict)
    """The word lists by name, folded."""

    def find(self, terms: Sequence[str], language: str = "en") -> dict[int, Match]:
        """Return the phrases in `terms` by the position where they begin: the longest there, none overlapping another.

        Spanish phrases are known in Spanish (`es`) only, misspelt words in English (`en`) only.
        """
        books = (self.spanish, self.english, self.names) if language == "es" else (self.english, self.names)
        found: dict[int, Match] = {}
        position = 0
        while position < len(terms):
            match = self._at(terms, position, books) or self._guess(terms[position], position, language)
            if match:
                found[position] = match
            position = match.end if match else position + 1
        return found

    def phrase_length(self, name: str, words: Sequence[str], position: int) -> int:
        """Return the words of the longest phrase in the word list `name` that begins there; 0: none does."""
        phrases = self._listed_phrases[name].get(words[position], ())
        return next((len(key) for key in phrases if tuple(words[position : position + len(key)]) == key), 0)

    def first_words(self, *names: str) -> frozenset[str]:
        """Return the first words of the phrases in some word lists."""
        if names not in self._first_words:
            self._first_words[names] = frozenset(word for name in names for word in self._listed_phrases[name])
        return self._first_words[names]

    def phrases_of(self, name: str, read: Callable[[str], tuple[str, ...]]) -> frozenset[tuple[str, ...]]:
        """Return the phrases of a word list, or of garments, as `read` takes them apart; remembered."""
        if (name, read) not in self._read_phrases:
            garments = (meaning.phrase for meaning in self.english.values() if meaning.garment)
            phrases = garments if name == "garments" else self.lists[name]
            self._read_phrases[name, read] = frozenset(map(read, phrases))
        return self._read_phrases[name, read]

    @cached_property
    def _read_phrases(self) -> dict[tuple[str, Callable[[str], tuple[str, ...]]], frozenset[tuple[str, ...]]]:
        return {}

    @cached_property
    def _first_words(self) -> dict[tuple[str, ...], frozenset[str]]:
        return {}

    @cached_property
    def _listed_phrases(self) -> dict[str, dict[str, tuple[tuple[str, ...], ...]]]:
        """Per word list, first word → its phrases, the longest first."""
        books: dict[str, dict[str, tuple[tuple[str, ...], ...]]] = {}
        for name, phrases in self.lists.items():
            book = books[name] = {}
            for key in sorted((tuple(phrase.split()) for phrase in phrases), key=len, reverse=True):
                book[key[0]] = (*book.get(key[0], ()), key)
        return books

    def _at(self, words: Sequence[str], position: int, books: Sequence[Phrasebook]) -> Match | None:
        word = words[position]
        for length in range(min(self._longest.get(word, 0), len(words) - position), 0, -1):
            key = tuple(words[position : position + length])
            for book in books:
                if key in book:
                    return Match(position, position + length, book[key])
        return None

    def _guess(self, word: str, position: int, language: str) -> Match | None:
        """A word that stands in no list, by its ending, or as the word that it is misspelt for."""
        endings = self.lists.get("person_endings", ())
        if any(word.endswith(ending) and len(word) > len(ending) + 3 for ending in endings):
            return Match(position, position + 1, unknown_person(word))
        right = self._spelling.meant(word) if language == "en" and word not in self.lists["spelled_right"] else None
        return Match(position, position + 1, self.english[right,]) if right else None

    @cached_property
    def _longest(self) -> dict[str, int]:
        """First word of phrases → number of words of the longest of them."""
        phrases = (*self.english, *self.names, *self.spanish)
        return {phrase[0]: len(phrase) for phrase in sorted(phrases, key=len)}

    @cached_property
    def _spelling(self) -> Spelling:
        return Spelling(key[0] for key, meaning in self.english.items() if len(key) == 1 and meaning.content)


def user_vocabulary() -> Vocabulary:
    """Return the vocabulary with what `vocabulary.json` in the data folder adds. Raises InvalidInputError."""
    return load_vocabulary(data_folder() / USER_VOCABULARY)


def load_vocabulary(path: Path | None = None) -> Vocabulary:
    """Return the built-in vocabulary, extended by the file at `path` where there is one; read again when it changes.

    Raises:
        InvalidInputError: the file is not readable as a vocabulary.
    """
    return (path and read_user_file(path, _UserVocabulary)) or _built_in()


@cache
def _built_in() -> Vocabulary:
    return _build(read_lists())


def read_lists(path: Path = LISTS) -> Any:
    """Return a folder as a dictionary, in the same order on every machine; a file as one of its pairs, or its lines."""
    if path.is_dir():
        return {part.stem: read_lists(part) for part in sorted(path.iterdir())}
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" = ") for line in lines) if " = " in lines[0] else lines


class _UserVocabulary(Vocabulary):
    """The form of a user's file, which is read into the whole vocabulary; pydantic builds it once there is a file."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic import AfterValidator, ConfigDict, create_model

        form = ConfigDict(extra="forbid", allow_inf_nan=False)
        style: Any = create_model("Style", __config__=form, words=(list[str], []), hints=(list[str], []))
        parts: dict[str, Any] = {
            **{name: list[str] for name, part in read_lists().items() if isinstance(part, list)},
            **dict.fromkeys(("content", "weak_content", "names"), dict[ContentType, list[str]]),
            **dict.fromkeys(("spanish", "spanish_adjectives"), dict[str, str]),
            "function_words": dict[Literal["en", "es"], list[str]],
            "styles": dict[ArtisticStyle, style],
            "concepts": dict[ConceptCategory, list[str]],
            "quality": dict[QualityLevel, list[str]],
            "families": dict[str, dict[str, float]],
        }
        optional: dict[str, Any] = {name: (kind, None) for name, kind in parts.items()}
        model = create_model("Vocabulary", __config__=form, **optional)
        return handler.generate_schema(Annotated[model, AfterValidator(_extended)])


def _extended(own: Any) -> Vocabulary:
    return _build(_merged(read_lists(), own.model_dump(mode="json", exclude_unset=True)))


def _merged(base: Any, own: Any) -> Any:
    """`base` with the entries of `own` added; where both translate or weigh a word, the user's stands."""
    if isinstance(base, dict):
        return base | {key: _merged(base[key], value) if key in base else value for key, value in own.items()}
    return base + own if isinstance(base, list) else own


def _build(data: dict[str, Any]) -> Vocabulary:
    english, names = _phrasebook(_meanings(data)), _phrasebook(_of_content(data["names"]))
    _inherit(english)
    plain = Vocabulary(english, names)
    spanish: dict[tuple[str, ...], Meaning] = {}
    for phrase, english_phrase in sorted(data["spanish"].items(), key=lambda item: len(item[0])):  # the singular first
        meaning = _translated(plain, english_phrase)
        for form in _forms(phrase):
            if key := terms(form):
                spanish.setdefault(key, meaning)
    return Vocabulary(
        english=_Book(english),
        names=_Book(names),
        spanish=_Book(spanish),
        spanish_adjectives={
            singular(fold(form)): english_word
            for word, english_word in data["spanish_adjectives"].items()
            for gender in _genders(word)
            for form in _forms(gender)
        },
        families={
            family: {tag: float(weight) for tag, weight in tags.items()} for family, tags in data["families"].items()
        },
        function_words={language: frozenset(map(fold, words)) for language, words in data["function_words"].items()},
        lists={name: frozenset(map(fold, part)) for name, part in data.items() if isinstance(part, list)},
    )


def _meanings(data: dict[str, Any]) -> Iterator[Meaning]:
    """English phrases; the first list in which a phrase stands gives it its category."""
    for level, phrases in data["quality"].items():
        yield from (Meaning(phrase, ConceptCategory.QUALITY, quality=QualityLevel(level)) for phrase in phrases)
    yield from _of_content(data["content"])
    yield from _of_content(data["weak_content"], weak=True)
    for category, phrases in data["concepts"].items():
        yield from (Meaning(phrase, ConceptCategory(category)) for phrase in phrases)
    yield from (Meaning(phrase, ConceptCategory.CHARACTER, garment=True) for phrase in data["garments"])
    for name, lists in data["styles"].items():
        for kind, weight in (("words", 1.0), ("hints", HINT_WEIGHT)):
            styles = ((ArtisticStyle(name), weight),)
            yield from (Meaning(phrase, ConceptCategory.STYLE, styles) for phrase in lists.get(kind, ()))


def _of_content(lists: dict[str, list[str]], weak: bool = False) -> Iterator[Meaning]:
    for content in ContentType:
        category, contents = _CONTENT_CATEGORY.get(content, ConceptCategory.CONTENT), (content,)
        yield from (Meaning(phrase, category, content=contents, weak=weak) for phrase in lists.get(content, ()))


def _phrasebook(meanings: Iterable[Meaning]) -> dict[tuple[str, ...], Meaning]:
    """Meanings by the terms of their phrases; a phrase that stands in several lists has what each of them says."""
    book: dict[tuple[str, ...], Meaning] = {}
    for meaning in meanings:
        key = terms(meaning.phrase)
        if known := book.get(key):
            meaning = replace(
                known,
                styles=known.styles + meaning.styles,
                content=tuple(dict.fromkeys(known.content + meaning.content)),
                quality=meaning.quality or known.quality,
                garment=known.garment or meaning.garment,
            )
        book[key] = meaning
    book.pop((), None)
    return book


def _inherit(english: dict[tuple[str, ...], Meaning]) -> None:
    """Let phrases say what their last word says: a `quick sketch` is a drawing, a `vector logo` an object."""
    for key, meaning in english.items():
        last = english.get(key[-1:]) if len(key) > 1 else None
        if last is None:
            continue
        if not meaning.styles and any(weight == 1.0 for _, weight in last.styles):
            english[key] = replace(meaning, styles=last.styles)
        elif meaning.styles and not meaning.content and last.content == (ContentType.OBJECT,) and not last.weak:
            english[key] = replace(meaning, content=last.content)


def _translated(vocabulary: Vocabulary, phrase: str) -> Meaning:
    """Meaning of an English phrase: of its last part with a content, in the style of any of its parts."""
    found = [match.meaning for match in vocabulary.find(terms(phrase), "es").values()]  # nothing misspelt
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
