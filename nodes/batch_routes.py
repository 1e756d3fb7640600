"""Answers of the routes that make a page's variations on the servers of `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..intelligence.errors import InvalidInputError
from .host.server_batch import server_batch

Arguments = Mapping[str, Any]


def status(arguments: Arguments) -> dict[str, Any]:
    """Return the batch: `running`, `done`, `failed`, `total`, `folder`, `problem`; and how many `servers` there are."""
    return server_batch.status()


def start(arguments: Arguments) -> dict[str, Any]:
    """Make the pictures of a workflow: {"prompt": as for POST /prompt, "sampler": its node's id}. Returns the status.

    Without `sampler` the workflow's only one. The same workflow again goes on where it was stopped.
    """
    graph, sampler = arguments.get("prompt"), arguments.get("sampler", "")
    if not (isinstance(graph, dict) and isinstance(sampler, str)):
        raise InvalidInputError("the body lacks 'prompt', a workflow in API format")
    server_batch.start(graph, sampler)
    return server_batch.status()


def cancel(arguments: Arguments) -> dict[str, Any]:
    """End the batch within a step; what is made stays. Returns the status."""
    server_batch.cancel()
    return server_batch.status()


GET = {"/batch": status}
POST = {"/batch": start, "/batch/cancel": cancel}
