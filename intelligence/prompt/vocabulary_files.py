"""Read the vocabulary's lists, and a user's own `vocabulary.json` on top of them.

The lists are text files in `lists/`, a phrase a line; those of `spanish`, `spanish_adjectives` and `families` hold
`phrase = English phrase` or `tag = weight`. The user's file is one JSON object of the shape of that folder:

- `styles`: per style, `words` that say it and `hints` that suggest it.
- `content`: per content type, what a picture may show; `weak_content`: what is mostly an accessory of something else;
  `names`: well-known figures.
- `concepts`: per category, whatever is neither style nor content. `garments`: what is worn. `quality`: per level.
- `families`: per model family, its quality tags with their weight.
- `spanish`: Spanish phrase → English phrase. `spanish_adjectives`: the same for adjectives, in the masculine singular.
- `function_words`: per language, words that separate phrases. The other word lists: see `WordLists`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from ..user_files import read_user_file
from .analysis import ArtisticStyle, ConceptCategory, ContentType, QualityLevel
from .vocabulary import Meaning, Phrasebook, Vocabulary, WordLists
from .words import fold, singular, terms

LISTS = Path(__file__).with_name("lists")

HINT_WEIGHT = 0.4
"""Weight of a word that only suggests a style, against 1 for one that says it."""

_CONTENT_PARTS = ("content", "weak_content", "names")
_TRANSLATIONS = ("spanish", "spanish_adjectives")
_WORD_LISTS = tuple(field.name for field in fields(WordLists))
_CONTENT_CATEGORY = {
    ContentType.CHARACTER: ConceptCategory.CHARACTER,
    ContentType.PORTRAIT: ConceptCategory.CAMERA,
    ContentType.GROUP: ConceptCategory.CHARACTER,
    ContentType.LANDSCAPE: ConceptCategory.SETTING,
    ContentType.ARCHITECTURE: ConceptCategory.SETTING,
    ContentType.INTERIOR: ConceptCategory.SETTING,
    ContentType.ABSTRACT: ConceptCategory.STYLE,
}


def load_vocabulary(path: Path | None = None) -> Vocabulary:
    """Return the built-in vocabulary, extended by the file at `path` where there is one; read again when it changes.

    Raises:
        InvalidInputError: the file is not readable as a vocabulary.
    """
    form: Any = _UserVocabulary
    return (path and read_user_file(path, form)) or _built_in()


@cache
def _built_in() -> Vocabulary:
    return _build(built_in_lists())


def built_in_lists() -> dict[str, Any]:
    """Return the lists of this package in the form of a user's file."""
    data = _tree(LISTS)
    for name in _TRANSLATIONS:
        data[name] = _pairs(data[name])
    for family, tags in data["families"].items():
        data["families"][family] = {tag: float(weight) for tag, weight in _pairs(tags).items()}
    return data


def _tree(folder: Path) -> dict[str, Any]:
    """Names of files and folders → lines and trees; sorted, so that every machine reads them in the same order."""
    return {
        path.stem: _tree(path) if path.is_dir() else path.read_text(encoding="utf-8").splitlines()
        for path in sorted(folder.iterdir())
    }


def _pairs(lines: list[str]) -> dict[str, str]:
    return dict(line.split(" = ") for line in lines)


def _extended(own: Any) -> Vocabulary:
    return _build(_merged(built_in_lists(), own.model_dump(mode="json", exclude_unset=True)))


class _UserVocabulary:
    """The form of a user's file, which is read into the whole vocabulary; pydantic builds it once there is a file."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return handler.generate_schema(_file_form())


def _file_form() -> Any:
    from pydantic import AfterValidator, ConfigDict, create_model

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
        **dict.fromkeys(_TRANSLATIONS, dict[str, str]),
        **dict.fromkeys(_WORD_LISTS, list[str]),
    }
    optional: dict[str, Any] = {name: (kind, None) for name, kind in parts.items()}
    return Annotated[create_model("Vocabulary", __config__=form, **optional), AfterValidator(_extended)]


def _merged(base: Any, own: Any) -> Any:
    """`base` with the entries of `own` added; where both translate or weigh a word, the user's stands."""
    if isinstance(base, dict):
        return base | {key: _merged(base[key], value) if key in base else value for key, value in own.items()}
    return base + own if isinstance(base, list) else own


def _build(data: dict[str, Any]) -> Vocabulary:
    english, names = _phrasebook(_meanings(data)), _phrasebook(_of_content(data["names"]))
    _inherit(english)
    plain = Vocabulary(english, names)
    spanish: Phrasebook = {}
    for phrase, english_phrase in sorted(data["spanish"].items(), key=lambda item: len(item[0])):  # the singular first
        meaning = _translated(plain, english_phrase)
        for form in _forms(phrase):
            spanish.setdefault(terms(form), meaning)
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
        lists=WordLists(**{name: frozenset(map(fold, data[name])) for name in _WORD_LISTS}),
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
        category = _CONTENT_CATEGORY.get(content, ConceptCategory.CONTENT)
        yield from (Meaning(phrase, category, content=(content,), weak=weak) for phrase in lists.get(content, ()))


def _phrasebook(meanings: Iterable[Meaning]) -> Phrasebook:
    """Meanings by the terms of their phrases; a phrase that stands in several lists has what each of them says."""
    book: Phrasebook = {}
    for meaning in meanings:
        key = terms(meaning.phrase)
        known = book.get(key)
        book[key] = _united(known, meaning) if known else meaning
    book.pop((), None)
    return book


def _united(known: Meaning, more: Meaning) -> Meaning:
    return replace(
        known,
        styles=(*known.styles, *more.styles),
        content=tuple(dict.fromkeys((*known.content, *more.content))),
        quality=more.quality or known.quality,
        garment=known.garment or more.garment,
    )


def _inherit(english: Phrasebook) -> None:
    """Let phrases say what their last word says: a `quick sketch` is a drawing, a `vector logo` an object."""
    for key, meaning in english.items():
        last = english.get(key[-1:]) if len(key) > 1 else None
        if last and not meaning.styles and any(weight == 1.0 for _, weight in last.styles):
            english[key] = replace(meaning, styles=last.styles)
        elif (
            last and not meaning.content and meaning.styles and last.content == (ContentType.OBJECT,) and not last.weak
        ):
            english[key] = replace(meaning, content=last.content)


def _translated(vocabulary: Vocabulary, phrase: str) -> Meaning:
    """Meaning of an English phrase: of its last part with a content, in the style of any of its parts."""
    found = [match.meaning for match in vocabulary.find(terms(phrase), misspelt=False).values()]
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
