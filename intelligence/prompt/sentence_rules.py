"""Read what the clauses of a prompt show, by tables of condition, effect and example.

The brackets in an example mark the word or phrase that the row applies to. The first row whose condition holds decides;
only in WORD_EFFECTS every row whose condition holds applies, from top to bottom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

from .analysis import ArtisticStyle, ConceptCategory, ContentType
from .clauses import Clause
from .phrases import Phrases
from .vocabulary import Match, Meaning, Vocabulary, unknown_person

S = TypeVar("S")
T = TypeVar("T")

PEOPLE = frozenset((ContentType.CHARACTER, ContentType.GROUP))

_SHOWN_BY = frozenset((ContentType.PORTRAIT, ContentType.GROUP))
_BUILT = frozenset((ContentType.ARCHITECTURE, ContentType.VEHICLE))
_MAX_TAG_WORDS = 3
"""Words of the longest clause that is read as one tag."""
_NOTHING = Meaning("", ConceptCategory.CONTENT)
_NO_PHRASE = Match(0, 0, _NOTHING)


@dataclass(frozen=True)
class Mention:
    """A phrase of the vocabulary as the prompt uses it."""

    meaning: Meaning
    clause: int
    weight: float
    """Attention weight."""
    adjunct: bool
    """It only accompanies another thing: `in a forest`, `… background`."""
    modifier: bool = False
    """It only says more about the thing named right after it: the coffee of `coffee cup`."""
    plural: bool = False
    joined: bool = False
    """`and` stands between it and an earlier phrase of its clause."""
    company: bool = False
    """A person does something to it or is with it: the child of `nurse carrying a child`."""


@dataclass
class Place:
    """A word or phrase in its clause, and what the words before it say about it."""

    clause: Clause
    vocabulary: Vocabulary
    lists: Mapping[str, frozenset[str]]
    position: int = 0
    """Of the word, or of the phrase's first word."""
    phrase: Match = _NO_PHRASE
    content: tuple[ContentType, ...] = ()
    suffix: str = ""
    before: Meaning = _NOTHING
    """Meaning of the phrase that ends right before this one and is shown."""
    following: Match | None = None
    """The phrase that begins right after this one."""
    after: Meaning = _NOTHING
    word_after: str = ""
    shown: Match | None = None
    """The last phrase that says what the picture shows."""
    person: bool = False
    inside: bool = False
    """The next thing is seen from inside."""
    leading: bool = False
    """The next thing only opens the scene."""
    adjunct: bool = False
    """All that follows accompanies what was shown."""
    company: bool = False
    """A person does something to what follows, or is with it."""
    joined: bool = False

    @property
    def word(self) -> str:
        return self.clause.words[self.position]

    @property
    def held(self) -> Match | None:
        """The first thing named behind the word after this phrase: the cherries of `bowl of cherries`."""
        behind = (match for start, match in self.clause.phrases.items() if start > self.phrase.end)
        return next((match for match in behind if match.meaning.content), None)

    def go_to(self, phrase: Match) -> None:
        """Look at `phrase`, which begins here, and at what stands beside it."""
        self.phrase, self.content = phrase, phrase.meaning.content
        self.suffix = self.clause.suffixes[phrase.end - 1]
        self.before = self.shown.meaning if self.shown and self.shown.end == phrase.start else _NOTHING
        self.following = self.clause.phrases.get(phrase.end)
        self.after = self.following.meaning if self.following else _NOTHING
        self.word_after = self.word_at(phrase.end)

    def word_at(self, position: int) -> str:
        """Return the word at `position` of the clause; empty behind its end."""
        return self.clause.words[position] if position < len(self.clause.words) else ""

    def is_in(self, name: str) -> bool:
        """Return whether the word stands in the word list `name`."""
        return self.word in self.lists[name]

    def is_function_word(self, position: int) -> bool:
        """Return whether the word at `position` separates English phrases."""
        return self.word_at(position) in self.vocabulary.function_words["en"]


class Rule(NamedTuple, Generic[S, T]):
    """A row of a table: what has the condition has the effect."""

    condition: Callable[[S], object]
    effect: T
    example: str


def read_mentions(phrases: Phrases) -> tuple[Mention, ...]:
    """Return the phrases that the prompt wants to see, in order."""
    return tuple(mention for clause in phrases.clauses for mention in _read_clause(clause, phrases))


def _read_clause(clause: Clause, phrases: Phrases) -> Iterator[Mention]:
    at = Place(clause, phrases.vocabulary, phrases.vocabulary.lists)
    modifies = MODIFIES_SPANISH if phrases.language == "es" else MODIFIES
    while at.position < len(clause.words):
        phrase = clause.phrases.get(at.position)
        if at.position in clause.negated:
            at.position = phrase.end if phrase else at.position + 1
            continue
        if phrase is None or _is_act(phrase, at.shown):
            if "-" not in clause.suffixes[max(0, at.position - 1) : at.position + 1]:  # not the `in` of `walk-in`
                if _is_unknown_person(at):
                    yield _person_before(at)
                    at.adjunct = at.person = True
                _read_word(at)
            at.position += 1
            continue
        at.go_to(phrase)
        if not at.content or not _decide(GIVES_WAY, at, False):
            mention = _mention(at, _decide(modifies, at, False))
            yield mention
            if at.content:
                at.person = at.person or not (at.adjunct or mention.modifier or PEOPLE.isdisjoint(at.content))
                at.shown, at.leading, at.inside = phrase, False, False
            elif phrase.meaning.styles:
                at.shown = None
        at.position = phrase.end


def _person_before(at: Place) -> Mention:
    clause, position = at.clause, at.position - 1
    meaning = unknown_person(clause.words[position])
    return Mention(meaning, clause.index, clause.weights[position], at.leading, joined=at.joined)


def _mention(at: Place, modifier: bool) -> Mention:
    clause, match, meaning = at.clause, at.phrase, at.phrase.meaning
    last, seen_as = clause.words[match.end - 1], _decide(SEEN_AS, at, None)
    return Mention(
        meaning=replace(meaning, content=(seen_as,)) if seen_as else meaning,
        clause=clause.index,
        weight=max(clause.weights[match.start : match.end]),
        adjunct=at.adjunct or at.leading,
        modifier=modifier,
        plural=clause.terms[match.end - 1] != last and not meaning.phrase.endswith(last),  # not the queen of hearts
        joined=at.joined,
        company=at.company,
    )


def _decide(rules: tuple[Rule[Place, T], ...], at: Place, default: T) -> T:
    return next((rule.effect for rule in rules if rule.condition(at)), default)


def _read_word(at: Place) -> None:
    """Let the word, which belongs to no phrase, change what is said about those that follow."""
    for rule in WORD_EFFECTS:
        if rule.condition(at):
            for name, value in rule.effect.items():
                setattr(at, name, value)


def _is_unknown_person(at: Place) -> bool:
    """Return whether the unknown word before this one is a person, as it acts like one: `roustabout smoking`."""
    before = at.position - 1
    if at.shown or at.adjunct or before in at.clause.negated or before < 0 or not at.is_in("person_acts"):
        return False
    known = any(phrase.start <= before < phrase.end for phrase in at.clause.phrases.values())
    return not known and not at.is_function_word(before)


def _is_act(phrase: Match | None, person: Match | None) -> bool:
    """Return whether a noun in -ing is what the person right before it does: `workers building a wall`."""
    if phrase is None or person is None or person.end != phrase.start or PEOPLE.isdisjoint(person.meaning.content):
        return False
    return phrase.end == phrase.start + 1 and _names_act(phrase.meaning.phrase) and bool(phrase.meaning.content)


def _names_act(word: str) -> bool:
    return len(word) > 4 and word.endswith(("ing", "ando", "iendo"))


def _is_trade(phrase: Match | None, animal: Match | None, at: Place) -> bool:
    """Return whether a person's trade is that of the animal right before it: `frog wizard`, but not `dragon hunter`."""
    if (
        phrase is None
        or animal is None
        or animal.end != phrase.start
        or ContentType.ANIMAL not in animal.meaning.content
    ):
        return False
    return ContentType.CHARACTER in phrase.meaning.content and phrase.meaning.folded not in at.lists["beast_handlers"]


def _is_of_thing(at: Place) -> bool:
    """Return whether `of` follows a thing, but not a portrait, a group or a sticker, which show what comes next."""
    if at.shown is None or not at.is_in("of_words"):
        return False
    return not at.shown.meaning.styles and _SHOWN_BY.isdisjoint(at.shown.meaning.content)


def _is_container(at: Place) -> bool:
    return at.phrase.end == at.position + 1 and at.is_in("containers")


def _counts(at: Place) -> Match | None:
    """The things that a group is one of: the otters of `family of otters`."""
    return at.held if ContentType.GROUP in at.content and at.word_after in at.lists["of_words"] else None


def _in_place(at: Place) -> bool:
    """Return whether the group belongs to what is named after a function word: `crew of a trawler`."""
    first, counted = at.phrase.end + 1, _counts(at)
    return counted is not None and counted.start > first and at.is_function_word(first)


def _is_plate(at: Place) -> bool:
    food = at.held is not None and ContentType.FOOD in at.held.meaning.content
    return food and _is_container(at) and at.word_after in at.lists["company_words"]


def _before_detail(at: Place) -> bool:
    return at.after.category is ConceptCategory.CHARACTER and not at.after.content


def _describes_shape(at: Place) -> bool:
    """Return whether a word such as `shaped` follows, and something that it belongs to: `heart shaped tart`."""
    described = at.phrase.end + 1
    belongs = described < len(at.clause.words) and not at.is_function_word(described)
    return belongs and at.word_after in at.lists["describing_words"]


def _is_cooked(at: Place) -> bool:
    return at.position > 0 and at.word_at(at.position - 1) in at.lists["cooking_words"]


def _has_company(at: Place) -> bool:
    company = at.person and (at.is_in("company_words") or _names_act(at.word))
    return company and _decide(TURNS_ASIDE, at, False)


def _opens_scene(at: Place) -> bool:
    return at.clause.index == at.position == 0 and at.is_in("adjunct_words")


def _is_second_noun(at: Place) -> bool:
    adjective = at.clause.terms[at.position] in at.vocabulary.spanish_adjectives
    return adjective and at.phrase.end == at.position + 1 and at.before is not _NOTHING


def _is_realistic_art(at: Place) -> bool:
    """Return whether a photographic style stands before another one."""
    realistic = {style for style, _ in at.phrase.meaning.styles} == {ArtisticStyle.PHOTOREALISTIC}
    return realistic and any(style is not ArtisticStyle.PHOTOREALISTIC for style, _ in at.after.styles[:1])


TURNS_ASIDE: tuple[Rule[Place, bool], ...] = (
    Rule(_is_of_thing, True, "queen [of] the bees"),
    Rule(lambda at: at.shown and _names_act(at.word), True, "girl [reading] a book"),
    Rule(lambda at: at.is_in("adjunct_words") and not at.leading, True, "a cat [in] a train"),
)
"""Words that begin what only accompanies the thing shown."""

WORD_EFFECTS: tuple[Rule[Place, Mapping[str, bool]], ...] = (
    Rule(lambda at: not at.shown and at.is_in("inside_words"), {"inside": True, "leading": True}, "[inside] a car"),
    Rule(_opens_scene, {"leading": True}, "[in] a dark forest stands a witch"),
    Rule(lambda at: _decide(TURNS_ASIDE, at, False), {"adjunct": True, "company": False}, "a cat [in] a train"),
    Rule(_has_company, {"company": True}, "a mother [feeding] her baby"),
    Rule(lambda at: at.is_in("joining_words"), {"joined": True}, "a knight [and] a wizard"),
)
"""Fields of Place → their value for all that follows a word that belongs to no phrase."""

GIVES_WAY: tuple[Rule[Place, bool], ...] = (
    Rule(lambda at: ContentType.GROUP in at.content and ContentType.ANIMAL in at.before.content, True, "bear [family]"),
    Rule(lambda at: _is_container(at) and at.word_after in at.lists["of_words"], True, "[bowl] of cherries"),
    Rule(_is_plate, True, "[plate] with pasta"),
    Rule(_in_place, False, "the [crew] of a fishing trawler"),
    Rule(lambda at: (held := _counts(at)) and PEOPLE.isdisjoint(held.meaning.content), True, "a [family] of otters"),
)
"""Phrases that are not shown, as they only count or hold what is named beside them."""

MODIFIES: tuple[Rule[Place, bool], ...] = (
    Rule(lambda at: _is_trade(at.phrase, at.shown, at), True, "frog [wizard]"),
    Rule(lambda at: not at.word_after, False, "a [cup]"),
    Rule(lambda at: _is_act(at.following, at.phrase), False, "[workers] building a wall"),
    Rule(lambda at: _is_trade(at.following, at.phrase, at), False, "[frog] wizard"),
    Rule(
        lambda at: at.suffix == "'s" and ContentType.ANIMAL in at.content and at.following and not at.after.content,
        False,
        "an [ostrich]'s face",
    ),
    Rule(lambda at: at.suffix == "'s", True, "the [wizard]'s very old book"),
    Rule(lambda at: at.suffix == "-" and not at.after.content, True, "a [moss]-covered stone bridge"),
    Rule(lambda at: not at.following and _describes_shape(at), True, "a [heart] shaped lemon tart"),
    Rule(lambda at: not at.following, False, "a [witch] stands there"),
    Rule(lambda at: at.after.folded in at.lists["picture_words"], False, "[cosmonaut] poster"),
    Rule(lambda at: ContentType.ANIMAL in at.content and ContentType.GROUP in at.after.content, False, "[bear] family"),
    Rule(
        lambda at: at.content == (ContentType.ABSTRACT,) and at.phrase.meaning.styles and at.after.weak,
        False,
        "[abstract] cube",
    ),
    Rule(lambda at: at.content and at.after.content, True, "[lemon] bottle"),
    Rule(lambda at: _before_detail(at) and len(at.clause.words) <= _MAX_TAG_WORDS, True, "[wolf] hair"),
    Rule(
        lambda at: _before_detail(at) and at.after.folded in at.lists["faces"] and not PEOPLE.isdisjoint(at.content),
        True,
        "a laughing [monk] face in the dark",
    ),
    Rule(lambda at: _before_detail(at) and at.after.garment, True, "a boy in a [vampire] costume"),
    Rule(_before_detail, False, "a tree and [fox] hair in the grass"),
    Rule(_is_realistic_art, True, "[realistic] painting of a horse"),
)
"""English phrases that only say more about what is named right after (or, a trade, right before) them."""

MODIFIES_SPANISH: tuple[Rule[Place, bool], ...] = (Rule(_is_second_noun, True, "guitarra [vieja], bosque"),)
"""Spanish nouns that only say more about the one right before them."""

SEEN_AS: tuple[Rule[Place, ContentType | None], ...] = (
    Rule(lambda at: at.inside and not _BUILT.isdisjoint(at.content), ContentType.INTERIOR, "inside a [submarine]"),
    Rule(lambda at: ContentType.ANIMAL in at.content and _is_cooked(at), ContentType.FOOD, "grilled [trout]"),
)
"""Content of a phrase where its place says something else than the vocabulary."""
