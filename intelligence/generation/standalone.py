"""The libraries of the `standalone` extra, imported where they are first needed, and kept quiet in our own calls."""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from threading import Lock

from ..errors import MissingDependencyError, install_command

_LIBRARIES = ("torch", "diffusers", "transformers", "peft", "accelerate")
_WITH_BARS = ("diffusers", "transformers")
_WITH_HANDLERS = ("", "torch", "diffusers", "transformers")
"""Loggers whose handlers print; the rest propagate to the root's."""
_OURS = __name__.partition(".generation.")[0]

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)
_LOADING = Lock()


def require_standalone(what: str) -> None:
    """Import torch, diffusers, transformers, peft and accelerate; `what` needs them.

    Raises MissingDependencyError with the command that installs them.
    """
    with _without_broken_torchvision(), quiet():
        for library in _LIBRARIES:
            try:
                importlib.import_module(library)
            except ImportError as error:
                remedy = install_command("standalone")
                raise MissingDependencyError(f"{what} needs {library} ({error}): {remedy}") from error
            _filter_handlers()


@contextmanager
def _without_broken_torchvision() -> Iterator[None]:
    """Hide a torchvision that was built for another torch.

    Its import raises RuntimeError. diffusers and transformers look once whether it is installed, and would later fail.
    """
    try:
        importlib.import_module("torchvision")
    except ImportError:
        pass
    except RuntimeError:
        sys.modules["torchvision"] = None  # type: ignore[assignment]
        try:
            yield
            if "transformers" in sys.modules:
                sys.modules["transformers"].utils.is_torchvision_available()  # remembers its answer
        finally:
            del sys.modules["torchvision"]
        return
    yield


@contextmanager
def quiet() -> Iterator[None]:
    """Drop what libraries log below ERROR in this thread. Other threads' records and our own are untouched."""
    _filter_handlers()
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


@contextmanager
def loading() -> Iterator[None]:
    """Let one model or LoRA be loaded at a time, without the libraries' logs, warnings and progress bars.

    Switches of the whole process hide the last two, and transformers, accelerate and peft switch more meanwhile.
    """
    with _LOADING, quiet(), warnings.catch_warnings(), ExitStack() as stack:
        warnings.filterwarnings("ignore", module=rf"({'|'.join(_LIBRARIES)})\b")
        for name in _WITH_BARS:
            log = sys.modules.get(f"{name}.utils.logging")
            if log is not None and log.is_progress_bar_enabled():
                log.disable_progress_bar()
                stack.callback(log.enable_progress_bar)
        yield


def _filter_handlers() -> None:
    handlers = [handler for name in _WITH_HANDLERS for handler in logging.getLogger(name).handlers]
    for handler in filter(None, (*handlers, logging.lastResort)):
        handler.addFilter(_is_heard)  # adding it twice changes nothing


def _is_heard(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR or record.name.startswith(_OURS) or not _quiet.get()


@contextmanager
def quiet_process() -> Iterator[None]:
    """Keep all warnings off the terminal, for programs that own their process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
