"""The libraries of the `standalone` extra, imported where they are first needed.

Nothing here changes what other code in the process sees: log records are dropped in our own calls only, and stand-ins
for modules are gone when an import ends.
"""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

from ..errors import MissingDependencyError, install_command

_LIBRARIES = ("torch", "diffusers", "transformers", "peft", "accelerate")
_LOGGING = ("diffusers", "transformers")
"""Libraries with handlers and progress bars of their own."""

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)
_owns_process: ContextVar[bool] = ContextVar("owns_process", default=False)


def require_standalone(what: str) -> None:
    """Import torch, diffusers, transformers, peft and accelerate; `what` needs them.

    Raises MissingDependencyError with the command that installs them.
    """
    with _without_broken_torchvision():
        for library in _LIBRARIES:
            try:
                importlib.import_module(library)
            except ImportError as error:
                raise MissingDependencyError(
                    f"{what} needs {library} ({error}): {install_command('standalone')}"
                ) from error


@contextmanager
def _without_broken_torchvision() -> Iterator[None]:
    """Hide a torchvision that was built for another torch.

    Its import raises RuntimeError (`operator torchvision::nms does not exist`). diffusers and transformers look once
    whether it is installed, and would later fail with it; nothing here uses it.
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
    """Drop what diffusers and transformers log below ERROR in this thread; other threads' records are untouched."""
    with ExitStack() as stack:
        for name in _LOGGING:
            for handler in logging.getLogger(name).handlers:
                handler.addFilter(_is_heard)  # adding it twice changes nothing
            log = importlib.import_module(f"{name}.utils.logging")
            if _owns_process.get() and log.is_progress_bar_enabled():
                log.disable_progress_bar()
                stack.callback(log.enable_progress_bar)
        stack.callback(_quiet.reset, _quiet.set(True))
        yield


def _is_heard(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR or not _quiet.get()


@contextmanager
def quiet_process() -> Iterator[None]:
    """Keep all warnings and the libraries' progress bars off the terminal, for programs that own their process."""
    token = _owns_process.set(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _owns_process.reset(token)
