"""Errors that a caller can act on. Every message says what was wrong and what to do."""

from __future__ import annotations


class IntelligentGenerationError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidInputError(IntelligentGenerationError, ValueError):
    """A value from the caller cannot be used."""


class ModelNotFoundError(IntelligentGenerationError, LookupError):
    """A base model or LoRA is not on this machine (or not in the registry)."""


class UnsupportedModelError(IntelligentGenerationError, ValueError):
    """A model file cannot be used: it is corrupt, pickled, or of an unknown kind."""


class ConfirmationRequiredError(IntelligentGenerationError, RuntimeError):
    """ASSISTED mode was asked to generate before the user confirmed the suggestions."""


class UnknownGenerationError(IntelligentGenerationError, LookupError):
    """No generation with this id was stored on this machine."""


class StorageError(IntelligentGenerationError, OSError):
    """The data folder cannot be read or written."""


class MissingDependencyError(IntelligentGenerationError, ImportError):
    """An optional dependency is needed for what was asked; the message names the extra to install."""


class HubError(IntelligentGenerationError, OSError):
    """A model hub refused, could not be reached, or sent a file other than the one it announced."""


class BrokenImageError(IntelligentGenerationError, ArithmeticError):
    """Sampling or decoding gave NaN instead of an image."""


class OutOfMemoryError(IntelligentGenerationError, MemoryError):
    """A stage of a run ran out of memory, by its plan and by the next smaller one."""


def install_command(extra: str) -> str:
    """Return how to install an extra of pyproject.toml, for messages."""
    return f'pip install ".[{extra}]" in the folder of Intelligent Generation'
