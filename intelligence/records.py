"""Plain dataclasses that travel as JSON: across a node link, into a PNG, a database, a browser and back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar, Self

from .errors import InvalidInputError

SCHEMA_VERSION = 1


@cache
def _adapter(cls: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def renamed(name: str, *earlier: str) -> Any:
    """Metadata for `Annotated`: the field `name` is read by its `earlier` names too."""
    from pydantic import AliasChoices, Field

    return Field(validation_alias=AliasChoices(name, *earlier))


class Record:
    """Mixin for dataclasses: `to_dict`/`from_dict`/`to_json`/`from_json` with type and bounds checks.

    The dictionary holds JSON types only. At its top level it also names its `schema` version and record `type`;
    unknown fields are ignored, so that an older version can read what a newer one added.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"allow_inf_nan": False}

    def to_dict(self) -> dict[str, Any]:
        """This record as JSON types."""
        cls: Any = type(self)
        fields = _adapter(cls).dump_python(self, mode="json")
        return {"schema": SCHEMA_VERSION, "type": type(self).__name__, **fields}

    def to_json(self, indent: int | None = None) -> str:
        """This record as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=indent)

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """The record that `to_dict` wrote.

        Raises:
            InvalidInputError: `data` is no such record, or was written by a newer schema version.
        """
        from pydantic import ValidationError

        if not isinstance(data, dict):
            raise InvalidInputError(f"{cls.__name__}: expected a JSON object, got {type(data).__name__}")
        if data.get("type", cls.__name__) != cls.__name__:
            raise InvalidInputError(f"{cls.__name__}: this is a {data['type']!r} record")
        schema = data.get("schema", SCHEMA_VERSION)
        if not isinstance(schema, int) or schema > SCHEMA_VERSION:
            raise InvalidInputError(
                f"{cls.__name__}: schema {schema!r} is newer than this version reads ({SCHEMA_VERSION}); "
                "update the pack"
            )
        try:
            return _adapter(cls).validate_python(data)  # type: ignore[arg-type]
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "record"
            raise InvalidInputError(f"{cls.__name__}: {where}: {first['msg']}") from None

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The record that `to_json` wrote. Raises InvalidInputError."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"{cls.__name__}: not JSON: {error}") from None
        return cls.from_dict(data)


class Message(StrEnum):
    """Base of a stage's table of sentences, such as `parameters/parameter_messages.py`.

    Name → English text with `{named}` arguments. The texts are for people and may be translated; nothing reads them.
    """

    @property
    def key(self) -> str:
        """Name of this message in translations: `parameters.fit_time` for `FIT_TIME` of the table in parameters/."""
        return f"{type(self).__module__.rsplit('.', 2)[-2]}.{self.name.lower()}"


class Source(StrEnum):
    """Where a decision comes from."""

    USER = "user"
    """Set by the user: by an input, an override, or words of the prompt that command (a LoRA tag)."""
    MODEL_FAMILY = "model_family"
    MODEL = "model"
    """The model's own files, or the loaded model."""
    PROMPT = "prompt"
    LORA = "lora"
    """What is known of a LoRA, or of the LoRAs that are applied."""
    BUDGET = "budget"
    """A limit on time or memory, or the memory at hand."""
    LEARNED = "learned"
    """Ratings, or earlier runs on this device."""
    DEFAULT = "default"


@dataclass(frozen=True)
class Reason:
    """Why one thing was decided, made where it was decided."""

    setting: Annotated[str, renamed("setting", "what")]
    """The decision: `steps`, `sampler`, `strength`, a LoRA's name …"""
    evidence: str
    """What it rests on, as an English sentence."""
    weight: float = 1.0
    """How much this evidence counted, 0 to 1."""
    otherwise: str | None = None
    """What the choice would have been without it."""
    source: Source = Source.DEFAULT
    value: bool | int | float | str | None = None
    """What was decided, where it is one value."""
    message: str = ""
    """Key of the sentence in translations; empty for free text (Ollama's, a file's)."""
    arguments: dict[str, bool | int | float | str] = field(default_factory=dict)
    """What the sentence's placeholders hold."""

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
        """The reason that `message` tells with these arguments."""
        evidence = message.format(**arguments)
        return cls(setting, evidence, weight, otherwise, source, value, message.key, arguments)
