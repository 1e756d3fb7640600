"""Dataclasses that travel as JSON (node links, pictures, databases, the page), and checks on those that users make."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import Field, dataclass, field
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from .errors import InvalidInputError
from .validation import adapter, did_you_mean, plain, problem, renamed, validated

SCHEMA_VERSION = 1


class Record:
    """Mixin for dataclasses: `to_dict`/`from_dict`/`to_json`/`from_json` with type and bounds checks.

    The dictionary holds JSON types only. At its top level it also names its `schema` version and record `type`;
    unknown fields are ignored, so that an older version can read what a newer one added.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"allow_inf_nan": False}

    def to_dict(self) -> dict[str, Any]:
        """Return this record as JSON types."""
        values = adapter(type(self)).dump_python(self, mode="json")
        return {"schema": SCHEMA_VERSION, "type": type(self).__name__, **values}

    def to_json(self, indent: int | None = None) -> str:
        """Return this record as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=indent)

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Return the record that `to_dict` wrote.

        Raises:
            InvalidInputError: `data` is no such record, or was written by a newer schema version.
        """
        if not isinstance(data, dict):
            raise InvalidInputError(f"{cls.__name__}: expected a JSON object, got {type(data).__name__}")
        values = dict(data)
        kind, schema = values.pop("type", cls.__name__), values.pop("schema", SCHEMA_VERSION)
        if kind != cls.__name__:
            raise InvalidInputError(f"{cls.__name__}: this is a {kind!r} record")
        if not isinstance(schema, int) or schema > SCHEMA_VERSION:
            raise InvalidInputError(
                f"{cls.__name__}: schema {schema!r} is newer than this version reads ({SCHEMA_VERSION}); "
                "update the pack"
            )
        try:
            return validated(cls, values)
        except InvalidInputError as error:
            raise InvalidInputError(f"{cls.__name__}: {error}") from None

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the record that `to_json` wrote. Raises InvalidInputError."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"{cls.__name__}: not JSON: {error}") from None
        return cls.from_dict(data)


class EditableRecord(Record):
    """Record that users edit: a field is checked when it is assigned, and no other name can be.

    Raises InvalidInputError for a value that the field cannot have, AttributeError for a name that is no field.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self):
            _assign(self, name, value)
        elif name in self.__dataclass_fields__:
            object.__setattr__(self, name, value)  # in `__init__`
        else:
            known = f"{type(self).__name__} has no field {name!r}"
            raise AttributeError(f"{known}{did_you_mean(name, self.__dataclass_fields__)}")


class ValidatedRecord(EditableRecord):
    """Record that users make: its fields are checked when it is made and when they are assigned, as in `from_dict`.

    Booleans, numbers and text are not taken for each other. NumPy's numbers, paths, names of enum members and nested
    records as dictionaries are taken. Whatever is refused raises InvalidInputError.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        schema = handler(source)
        return {**schema, "schema": _strict(schema["schema"])}

    def __post_init__(self) -> None:
        for name, value in vars(self).copy().items():
            if value is not self.__dataclass_fields__[name].default:
                _assign(self, name, value)


def _assign(record: EditableRecord, name: str, value: Any) -> None:
    from pydantic import ValidationError

    try:
        adapter(type(record)).validator.validate_assignment(record, name, value)
    except ValidationError as error:
        raise InvalidInputError(problem(error, type(record))) from None


def _strict(schema: Any) -> Any:
    """Return pydantic's schema of a record with numbers, booleans and text strict, those of nested records as is."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict) or schema.get("type") == "dataclass":
        return schema
    if schema.get("type") in ("bool", "int", "float", "str"):
        from pydantic_core.core_schema import no_info_before_validator_function

        return no_info_before_validator_function(plain, {**schema, "strict": True})
    return {key: _strict(part) for key, part in schema.items()}


class Message(StrEnum):
    """Base of a stage's table of sentences, such as `parameters/parameter_messages.py`.

    Name → English text with `{named}` arguments. The texts are for people and may be translated; nothing reads them.
    """

    @property
    def key(self) -> str:
        """Name of this message in translations: `parameters.fit_time` for `FIT_TIME` of the table in parameters/."""
        return f"{type(self).__module__.rsplit('.', 2)[-2]}.{self.name.lower()}"


class Source(StrEnum):
    """Origin of a decision."""

    USER = "user"
    """Set by the user, through an input, an override, or a command in the prompt (a LoRA tag)."""
    MODEL_FAMILY = "model_family"
    MODEL = "model"
    """The model's own files, or the loaded model."""
    PROMPT = "prompt"
    LORA = "lora"
    """Facts about a LoRA, or about the LoRAs that are applied."""
    BUDGET = "budget"
    """A limit on time or memory, or the memory that is free."""
    LEARNED = "learned"
    """Ratings, or earlier runs on this device."""
    DEFAULT = "default"


@dataclass(frozen=True)
class Reason:
    """The ground for one decision, made where the decision is made."""

    setting: Annotated[str, renamed("setting", "what")]
    """The decision: `steps`, `sampler`, `strength`, a LoRA's name …"""
    evidence: str
    """The ground as an English sentence."""
    weight: float = 1.0
    """Share of this evidence in the decision, 0 to 1."""
    otherwise: str | None = None
    """The choice without this evidence."""
    source: Source = Source.DEFAULT
    value: bool | int | float | str | None = None
    """The choice, where it is one value."""
    message: str = ""
    """Key of the sentence in translations; empty for free text (Ollama's, a file's)."""
    arguments: dict[str, bool | int | float | str] = field(default_factory=dict)
    """Values of the sentence's placeholders."""

    @classmethod
    def of(
        cls,
        setting: str,
        source: Source,
        message: Message,
        *,
        value: bool | int | float | str | None = None,
        otherwise: str | None = None,
        weight: float = 1.0,
        **arguments: bool | int | float | str,
    ) -> Reason:
        """Return the reason that `message` states with these arguments."""
        evidence = str(message.format(**arguments))  # without placeholders, format returns the member itself
        return cls(setting, evidence, weight, otherwise, source, value, message.key, arguments)


def json_parts(value: Any, depth: int = 2) -> Iterator[str]:
    """Yield the JSON of a value in pieces: down to `depth`, each item is encoded on its own.

    One call of the encoder keeps Python's lock to its end, and other threads, such as an event loop's, waiting.
    """
    if depth and isinstance(value, dict) and value and all(isinstance(name, str) for name in value):
        for number, (name, item) in enumerate(value.items()):
            yield f"{', ' if number else '{'}{json.dumps(name)}: "
            yield from json_parts(item, depth - 1)
        yield "}"
    elif depth and isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield ", " if number else "["
            yield from json_parts(item, depth - 1)
        yield "]"
    else:
        yield json.dumps(value)
