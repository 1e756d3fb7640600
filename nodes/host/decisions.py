"""Decisions of nodes, made again when knowledge changes: only another decision is another fingerprint."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from comfy_execution.utils import get_executing_context

from .library_scan import decision_revision
from .queued_prompts import links, running_prompt
from .users import current_user

MAX_KEPT = 64
"""Nodes, each with what is linked into it, whose last decision is remembered."""

_tokens = itertools.count()


@dataclass
class _Run:
    """The last run of a node."""

    token: str
    """Its fingerprint."""
    revision: str
    """Of the knowledge that its decisions were last found to be those of."""
    prompt_id: str = ""
    made: list[tuple[str, Callable[[], str]]] = field(default_factory=list)
    """Each decision (a list input: several), and how to make it again."""


class Decisions:
    """The last decisions of each node, by its id and everything that is linked into it."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], _Run] = {}
        self._next: dict[tuple[str, str], str] = {}

    def fingerprint(self, node_id: str) -> str:
        """Return the fingerprint of the node's last run; another one if it would decide differently today."""
        key, revision = _key(node_id), decision_revision()
        run = self._runs.get(key)
        if run is not None and (run.revision == revision or all(again() == before for before, again in run.made)):
            run.revision = revision
            self._next[key] = run.token
        else:
            self._next[key] = str(next(_tokens))
        return self._next[key]

    def remember(self, node_id: str, revision: str, decision: Any, again: Callable[[], Any]) -> None:
        """Keep what a node decided in the prompt that runs now.

        Args:
            revision: `decision_revision` from before the decision.
            decision: JSON types that name everything later nodes depend on.
            again: makes the same decision by what is known when it is called.
        """
        key, context = _key(node_id), get_executing_context()
        prompt_id = context.prompt_id if context else ""
        run = self._runs.pop(key, None)
        if run is None or run.prompt_id != prompt_id:
            run = _Run(self._next.pop(key, str(next(_tokens))), revision, prompt_id)
        run.made.append((_text(decision), lambda: _text(again())))
        self._runs[key] = run
        for oldest in list(self._runs)[:-MAX_KEPT]:
            del self._runs[oldest]
            self._next.pop(oldest, None)


decisions = Decisions()


def _key(node_id: str) -> tuple[str, str]:
    """Return the node's id and a digest of it, of all that is linked into it in the prompt that runs, and the user."""
    prompt, found, waiting = running_prompt(), {}, [node_id]
    while waiting:
        name = waiting.pop()
        node = prompt.get(name)
        if node is not None and name not in found:
            found[name] = [node.get("class_type"), node.get("inputs")]
            waiting += [origin for origin, _ in links(node)]
    return node_id, hashlib.blake2b(_text([found, current_user()]).encode(), digest_size=16).hexdigest()


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
