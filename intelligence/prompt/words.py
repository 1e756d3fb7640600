"""Fold words for comparison: case, accents, underscores and plural endings do not matter."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+")
_POSSESSIVE = re.compile(r"['’]s\b")
_LATIN_ACCENTS = re.compile("[\u0300-\u036f]")
_MAX_WORD_LETTERS = 50
_IN_IE = (
    *("zombie", "cookie", "brownie", "magpie", "selfie", "genie", "pixie", "hoodie", "movie", "smoothie", "hippie"),
    *("cutie", "veggie", "pantie", "rookie", "collie", "pinkie", "faerie", "birdie", "goalie", "calorie", "prairie"),
)
_IN_MAN = ("man", "gentleman", "fireman", "policeman", "businessman", "swordsman", "fisherman", "horseman", "snowman")
_IN_F = ("wolf", "elf", "leaf", "shelf", "thief", "dwarf", "scarf", "calf", "loaf", "half", "hoof", "wharf")
_IN_O = (
    *("potato", "tomato", "hero", "superhero", "antihero", "mango", "volcano", "mosquito", "torpedo", "tornado"),
    *("flamingo", "buffalo", "domino", "desperado", "avocado"),
)
_IN_I_OR_U = (
    *("taxi", "kiwi", "corgi", "bikini", "yeti", "ski", "samurai", "mariachi", "alibi", "safari", "zombi", "jabali"),
    *("emu", "gnu", "guru", "menu", "tutu", "caribou", "plateau", "chateau", "bayou", "bambu"),
)
_IRREGULAR = (
    {f"{word}s": word for word in _IN_IE}
    | {f"{word[:-2]}en": word for word in _IN_MAN}
    | {f"{word[:-1]}ves": word for word in _IN_F}
    | {f"{word}es": word for word in _IN_O}
    | {f"{word}s": word for word in _IN_I_OR_U}
    | {"children": "child", "knives": "knife", "wives": "wife", "mice": "mouse", "geese": "goose", "feet": "foot"}
    | {"teeth": "tooth", "oxen": "ox", "buses": "bus", "lenses": "lens", "cacti": "cactus"}
    | {"octopi": "octopus", "fungi": "fungus", "lice": "louse", "pegasi": "pegasus", "cherubim": "cherub"}
)


def fold(text: str) -> str:
    """Return `text` without case and Latin accents, in NFC."""
    if text.isascii():
        return text.lower()
    bare = _LATIN_ACCENTS.sub("", unicodedata.normalize("NFKD", text.replace("ñ", "n").replace("Ñ", "N")))
    return unicodedata.normalize("NFC", bare).casefold()


def singular(word: str) -> str:
    """Return `word` without an English plural ending; words of up to three letters, or of more than 50, stay."""
    return _singular(word) if len(word) <= _MAX_WORD_LETTERS else word


@lru_cache(maxsize=50_000)
def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("women"):
        return f"{word[:-2]}an"
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    return word[:-1]


def words(text: str) -> list[str]:
    """Return the folded words of `text`, in order, plurals kept."""
    return _WORD.findall(_POSSESSIVE.sub("", fold(text)))


def terms(text: str) -> tuple[str, ...]:
    """Return the folded words of `text` in the singular: the form in which two texts are compared."""
    return tuple(map(singular, words(text)))
