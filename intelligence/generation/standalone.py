"""The libraries of the `standalone` extra, checked where they are first needed."""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import MissingDependencyError, install_command

_LIBRARIES = ("torch", "diffusers", "transformers", "peft", "accelerate")


def require_standalone(what: str) -> None:
    """Make sure that torch, diffusers, transformers, peft and accelerate import. `what` needs them.

    Raises MissingDependencyError with the command that installs them.
    """
    _set_aside_broken_torchvision()
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # of kernels that libraries for quantization have for other devices
    try:
        for library in _LIBRARIES:
            try:
                importlib.import_module(library)
            except ImportError as error:
                raise MissingDependencyError(
                    f"{what} needs {library} ({error}): {install_command('standalone')}"
                ) from error
    finally:
        logging.disable(before)


def _set_aside_broken_torchvision() -> None:
    """Where torchvision was built for another torch its import raises RuntimeError (`operator torchvision::nms does
    not exist`), and transformers, which only looks whether it is installed, fails with it. Nothing here uses it."""
    try:
        importlib.import_module("torchvision")
    except ImportError:
        return
    except RuntimeError:
        sys.modules["torchvision"] = None  # type: ignore[assignment]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' progress bars, load reports and deprecation warnings off the terminal; errors still show."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    before = [
        (log, log.get_verbosity(), log.is_progress_bar_enabled()) for log in (transformers_logging, diffusers_logging)
    ]
    for log, _, _ in before:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, verbosity, bars in before:
            log.set_verbosity(verbosity)
            if bars:
                log.enable_progress_bar()
