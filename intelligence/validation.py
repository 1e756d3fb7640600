"""Checks of what users give, by pydantic, which is imported on first use; errors say place, demand and value.

The JSON files that users write into the data folder are read here: `config.json`, `families.json`, `vocabulary.json`.
"""

from __future__ import annotations

import json
import os
import reprlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from .errors import InvalidInputError
from .given_files import given_text

if TYPE_CHECKING:
    from pydantic import ValidationError

T = TypeVar("T")

LIMITS = {(): "", ("ge",): " of {} or more", ("gt",): " above {}", ("ge", "le"): " from {} to {}"}
"""Limits of an argument by pydantic's names → the words for them."""


def renamed(name: str, *earlier: str) -> Any:
    """Return metadata for `Annotated`: the field `name` is read by its `earlier` names too."""
    import pydantic

    return pydantic.Field(validation_alias=pydantic.AliasChoices(name, *earlier))


def bounds(**limits: Any) -> Any:
    """Return metadata for `Annotated`: limits by pydantic's names (`gt`, `ge`, `le`, `multiple_of`, `pattern` …)."""
    import pydantic

    return pydantic.Field(**limits)


def one_of(values: Iterable[str]) -> Any:
    """Return metadata for `Annotated`: one of these texts."""
    from pydantic import AfterValidator

    def check(value: str) -> str:
        if value not in values:
            raise ValueError(f"must be one of {', '.join(values)}, got {value!r}")
        return value

    return AfterValidator(check)


def validated(form: type[T], value: Any) -> T:
    """Return `value` as `form`: a record, or any other type that pydantic knows.

    Raises:
        InvalidInputError: names the place in `value`, what must stand there, and what does.
    """
    from pydantic import ValidationError

    try:
        return adapter(form).validate_python(value)
    except ValidationError as error:
        raise InvalidInputError(problem(error, form)) from None


def checked(name: str, value: Any, kind: type[T], **limits: float) -> T:
    """Return the argument `name` as an int or float within `limits`, which go by pydantic's names as in `LIMITS`.

    Raises:
        InvalidInputError: says what `name` must be, and what it is. Booleans and text are no numbers.
    """
    from pydantic import ValidationError

    try:
        return adapter(_number(kind, **limits)).validate_python(plain(value))  # type: ignore[arg-type]
    except ValidationError:
        noun = "an integer" if kind is int else "a number"
        allowed = f"{noun}{LIMITS[tuple(limits)]}".format(*limits.values())
        raise InvalidInputError(f"{name} must be {allowed}, got {reprlib.repr(value)}") from None


def _new_adapter(form: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(form)


adapter: Callable[[Any], Any] = cache(_new_adapter)
"""Type → pydantic's TypeAdapter, made once."""


@cache
def _number(kind: Any, **limits: float) -> Any:
    finite = {"allow_inf_nan": False} if kind is float else {}
    return Annotated[kind, bounds(strict=True, **finite, **limits)]


def plain(value: Any) -> Any:
    """Return NumPy's numbers and booleans as Python's, and paths as text."""
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return value.item()
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def problem(error: ValidationError, form: Any) -> str:
    """Return the first problem as a sentence: place, what must stand there, what does."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"] if part != "[key]") or "the whole"
    if first["type"] == "missing":
        return f"{place} is missing"
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = set(_names(adapter(form).json_schema()))
        return f"{place} is unknown{did_you_mean(str(first['loc'][-1]), known)}"
    if first["type"] == "value_error":
        said = str(first["ctx"]["error"])
        return f"{place} {said}" if said.startswith("must ") else f"{place}: {said}"
    _, found, expected = first["msg"].partition(" should ")
    return f"{place} must {expected}, got {reprlib.repr(first['input'])}" if found else f"{place}: {first['msg']}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean …?` with the nearest known name; empty: none is near."""
    from difflib import get_close_matches

    return "".join(f"; did you mean {near!r}?" for near in get_close_matches(name[:100], list(known), n=1, cutoff=0.5))


def _names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", ())
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _names(part)


def read_user_file(path: Path, form: type[T]) -> T | None:
    """Return the file's content as `form` (a record or pydantic model), or None where there is no file.

    A file is read again only after it has changed, so the content is shared: do not edit it.

    Raises:
        InvalidInputError: names the file, the place in it, what must stand there, and the remedy.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read ({error.strerror}); make it readable") from None
    content: T = _read(path, form, status.st_mtime_ns, status.st_size)  # type: ignore[arg-type]
    return content


@lru_cache(maxsize=16)
def _read(path: Path, form: Any, modified: int, size: int) -> Any:
    """`modified` and `size` tell one state of the file from another."""
    remedy = "correct the file, or move it away to use the defaults"
    try:
        text = given_text(path)
    except InvalidInputError as error:
        raise InvalidInputError(f"{error}; {remedy}") from None
    try:
        return validated(form, json.loads(text))
    except InvalidInputError as error:
        problem = str(error)
    except (ValueError, RecursionError) as error:
        problem = f"not JSON ({error})"
    raise InvalidInputError(f"{path}: {problem}; {remedy}")
