"""Read a LoRA's record: where words and phrases stand, and at which strengths example prompts apply it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ...models import LoRAKind, ModelMetadata, ModelSummary, TriggerSet
from ...models.fields import MAX_EXAMPLES, MAX_TAGS, MAX_TRIGGER_SETS
from ...prompt import ArtisticStyle, load_vocabulary
from ...prompt.words import terms
from .index import DESCRIPTION, EXAMPLES, NAME, TAG, TELLING, TITLE, TRIGGER
from .naming import Named, naming_phrases
from .tokens import MAX_PHRASE, pieces, tokens
from .traits import MAX_CHOSEN_STRENGTH, civitai_ids, is_slider, is_style, used_strengths

USUAL_LENGTHS = {NAME: 3.0, TITLE: 5.0, TRIGGER: 8.0, TAG: 8.0, DESCRIPTION: 60.0}
"""Usual length of a field in words."""
K1, B = 1.2, 0.5
"""BM25's constants."""
TOP_TAG_SHARE = 0.9
"""Share of the captions that the most frequent training tag counts as."""
MAX_PHRASES = 24
"""Of one trigger set."""
MAX_DESCRIPTION_CHARACTERS = 4_000
MAX_EXAMPLE_CHARACTERS = 1_500
MAX_TEXT_CHARACTERS = 300

Listed = ModelSummary | ModelMetadata
ReadModels = Callable[[Iterable[Any]], Iterable[ModelMetadata]]
"""Gives the whole record of each listed model, in their order: `ModelRegistry.read_models`, or `iter` for records."""

Phrase = tuple[str, ...]
"""Tokens."""


class Document(NamedTuple):
    """A LoRA's record, read."""

    postings: dict[str, list[float]]
    """Key → its columns, without `TELLING`."""
    groups: list[tuple[int, tuple[Phrase, ...]]]
    """Phrases that are matched together, with their column: of its name, its title and each trigger set."""
    examples: int
    """Number of its example prompts."""
    creator: str
    civitai_id: int
    """CivitAI's id of its model, −1 where that is not known."""
    style: ArtisticStyle
    """Unspecified unless it is there for a style."""
    kind: LoRAKind
    names: list[Named]
    usage: Counter[tuple[float, bool | None]]
    """(strength, beside others or not) of example prompts; empty for a slider, whose creator's other LoRAs differ."""


def stamp(model: Listed) -> str:
    """Return a text that changes with whatever `read_document` reads of a record."""
    return f"{model.model_id}\0{model.version}" if isinstance(model, ModelSummary) else repr(model)


def top_tags(model: ModelMetadata, count: int) -> list[tuple[str, int]]:
    """Return a LoRA's most frequent training tags, each with its count."""
    return sorted(model.tags.items(), key=lambda item: (-item[1], item[0]))[:count]


def trigger_phrases(trigger: TriggerSet) -> list[Phrase]:
    """Return the tokens of each phrase of a trigger set."""
    return [phrase for word in trigger.words[:MAX_PHRASES] if (phrase := tokens(word[:MAX_TEXT_CHARACTERS]))]


def read_document(model: ModelMetadata) -> Document:
    """Read one LoRA's words."""
    postings: dict[str, list[float]] = {}

    def put(column: int, phrases: Iterable[Phrase]) -> None:
        phrases = list(dict.fromkeys(phrases))
        words = Counter(word for phrase in phrases for word in phrase)
        room = K1 * (1 - B + B * sum(words.values()) / USUAL_LENGTHS[column])
        for word, count in words.items():
            columns = postings.setdefault(word, [0.0] * TELLING)
            columns[column] = max(columns[column], count / (count + room))
        for phrase in phrases:
            if 1 < len(phrase) <= MAX_PHRASE:
                columns = postings.setdefault("".join(phrase), [0.0] * TELLING)
                columns[column] = max(columns[column], 1 / (1 + room))

    name, title = tokens(model.name[:MAX_TEXT_CHARACTERS]), tuple(pieces(model.title[:MAX_TEXT_CHARACTERS]))
    sets = [tuple(trigger_phrases(trigger)) for trigger in model.trigger_sets[:MAX_TRIGGER_SETS]]
    put(NAME, (name,))
    put(TITLE, title)
    put(TRIGGER, (phrase for phrases in sets for phrase in phrases))
    put(TAG, (tokens(tag[:MAX_TEXT_CHARACTERS]) for tag, _ in top_tags(model, 20)))
    description = tokens(model.description[:MAX_DESCRIPTION_CHARACTERS])
    room = K1 * (1 - B + B * len(description) / USUAL_LENGTHS[DESCRIPTION])
    for word, count in Counter(description).items():
        postings.setdefault(word, [0.0] * TELLING)[DESCRIPTION] = count / (count + room)
    for key, share in _shares(model).items():
        postings.setdefault(key, [0.0] * TELLING)[EXAMPLES] = share
    used = () if is_slider(model) else used_strengths(model, MAX_CHOSEN_STRENGTH)
    return Document(
        postings,
        [(NAME, (name,)), (TITLE, title), *((TRIGGER, phrases) for phrases in sets)],
        examples=min(len(model.example_prompts), MAX_EXAMPLES),
        creator=model.creator or "",
        civitai_id=-1 if (civitai_id := civitai_ids(model)[0]) is None else civitai_id,
        style=_style_of(model),
        kind=model.lora_kind,
        names=naming_phrases(model),
        usage=Counter((strength, example.stacked) for example, strength in used),
    )


def _shares(model: ModelMetadata) -> dict[str, float]:
    """Key → share of the example prompts that have it; of training captions where the tags are counted.

    Phrases of one prompt alone are left out unless there are only one or two.
    """
    words: Counter[str] = Counter()
    phrases: Counter[str] = Counter()
    examples = model.example_prompts[:MAX_EXAMPLES]
    for example in examples:
        found = pieces(example.prompt[:MAX_EXAMPLE_CHARACTERS])
        words.update({word for piece in found for word in piece})
        phrases.update({"".join(piece) for piece in found if 1 < len(piece) <= MAX_PHRASE})
    least = 1 if len(examples) <= 2 else 2
    counts = {**{key: count for key, count in phrases.items() if count >= least}, **words}
    shares = {key: count / (len(examples) + 0.5) for key, count in counts.items()}
    ranked = top_tags(model, MAX_TAGS)
    most = ranked[0][1] if ranked else 0
    for tag, count in ranked if most > 1 else ():
        phrase = tokens(tag[:MAX_TEXT_CHARACTERS])
        for key in {*phrase, "".join(phrase)} if len(phrase) <= MAX_PHRASE else phrase:
            shares[key] = max(shares.get(key, 0.0), TOP_TAG_SHARE * max(0, count) / most)
    return shares


def _style_of(model: ModelMetadata) -> ArtisticStyle:
    """The style that a style LoRA's name, trigger words and most frequent tags speak of."""
    if not is_style(model):
        return ArtisticStyle.UNSPECIFIED
    votes: Counter[ArtisticStyle] = Counter()
    ranked = top_tags(model, 10)
    most = max(1, ranked[0][1]) if ranked else 1
    words = [model.name, *(word for trigger in model.trigger_sets[:MAX_TRIGGER_SETS] for word in trigger.words)]
    texts = [(word, 1.0) for word in words[: MAX_TRIGGER_SETS * MAX_PHRASES]]
    for text, weight in (*texts, *((tag, count / most) for tag, count in ranked)):
        for match in load_vocabulary().find(terms(text[:MAX_TEXT_CHARACTERS])).values():
            for style, strength in match.meaning.styles:
                votes[style] += weight * strength  # type: ignore[assignment]
    best = min(votes, key=lambda style: (-votes[style], style), default=ArtisticStyle.UNSPECIFIED)
    return best if votes[best] >= 0.5 else ArtisticStyle.UNSPECIFIED
