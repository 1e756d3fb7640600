"""The terminal: progress, and answers that reach it whatever it can show, or say why not."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Any

from ..errors import IntelligentGenerationError

Answer = tuple[Any, str]
"""JSON data, and the same as text for people."""

INTERRUPTED = 130
READER_LEFT = 141
"""Exit status by the custom of shells: 128 + the number of SIGINT, of SIGPIPE."""


def prepare() -> None:
    """Show what the terminal's encoding lacks as `?`, instead of failing on it, and no warnings of transformers."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # they tell of torchvision, which nothing here needs
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def answer(arguments: Sequence[str] | None) -> int:
    """Run the command that the arguments name, and write its answer. Returns the exit status."""
    from .arguments import Told, parser

    try:
        if not (sys.argv[1:] if arguments is None else arguments):
            return _write(parser().format_help(), 2)
        options = parser().parse_args(arguments)
    except Told as told:
        return _write(str(told), 0)
    try:
        data, text = getattr(import_module(f".{options.module}", __package__), options.command)(options)
    except (IntelligentGenerationError, OSError) as error:
        reason = str(error) if isinstance(error, IntelligentGenerationError) else _system_error(error)
        if options.json:
            return _write(_json({"error": reason, "kind": type(error).__name__}, None), 1)
        print(f"error: {reason}", file=sys.stderr)
        return 1
    if data is None:
        return 0
    return _write(_json(data, 2) if options.json else text, 0)


def _system_error(error: OSError) -> str:
    """Return an error of the operating system as a sentence: a disk, a right, a name that no file can have."""
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{error.strerror or error}"


def quiet_exit(status: int) -> int:
    """Drop what was not written yet, so that nothing fails when Python closes its output. Returns `status`."""
    with suppress(OSError, ValueError):  # no file may be behind it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def _json(data: Any, indent: int | None) -> str:
    """Return JSON that any encoding can write."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("_", "-")
    return json.dumps(data, ensure_ascii=encoding not in ("utf-8", "utf8"), indent=indent)


def _write(text: str, status: int) -> int:
    try:
        print(text)
        sys.stdout.flush()
    except BrokenPipeError:
        return quiet_exit(READER_LEFT)
    except OSError as error:
        print(f"error: the answer cannot be written: {error.strerror}", file=sys.stderr)
        return quiet_exit(1)
    return status


@contextmanager
def progress(options: argparse.Namespace, unit: str, task: str = "") -> Iterator[Callable[[int, int], None]]:
    """Yield a callback for (done, total), shown as a bar with the time left, on a terminal only; `task` leads it."""
    from tqdm import tqdm

    with tqdm(desc=task or None, unit=unit, disable=options.json or not sys.stderr.isatty(), leave=False) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report
