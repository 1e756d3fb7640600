"""Answers of commands, held against their JSON schemas."""

from __future__ import annotations

import importlib.util

from intelligence.cli.answer_schemas import answer_schema


def assert_is_answer(command: str, answer: object) -> None:
    """The answer is as the schema of the command says, where jsonschema is installed."""
    if importlib.util.find_spec("jsonschema"):
        import jsonschema

        jsonschema.validate(answer, answer_schema(command))
