"""The errors that a caller can act on. Every message says what was wrong and what to do."""

from __future__ import annotations


class IntelligentGenerationError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidInputError(IntelligentGenerationError, ValueError):
    """A value from the caller cannot be used."""


class ModelNotFoundError(IntelligentGenerationError, LookupError):
    """A base model or LoRA is not on this machine (or not in the registry)."""


class UnsupportedModelError(IntelligentGenerationError, ValueError):
    """A model file is there but cannot be used: corrupt, pickled, or of an unknown kind."""


class ConfirmationRequiredError(IntelligentGenerationError, RuntimeError):
    """ASSISTED mode was asked to generate before the user confirmed the suggestions."""


class UnknownGenerationError(IntelligentGenerationError, LookupError):
    """No generation with this id was stored on this machine."""


class StorageError(IntelligentGenerationError, OSError):
    """The data folder cannot be read or written."""


class MissingDependencyError(IntelligentGenerationError, ImportError):
    """An optional dependency is needed for what was asked; the message names the extra to install."""


class HubError(IntelligentGenerationError, OSError):
    """A model hub did not deliver: refused, unreachable, or a file that is not what was promised."""


class BrokenImageError(IntelligentGenerationError, ArithmeticError):
    """Sampling or decoding gave not-a-number instead of a picture."""


class OutOfMemoryError(IntelligentGenerationError, MemoryError):
    """A stage of a run took more memory than there is, also by the next smaller plan."""


def install_command(extra: str) -> str:
    """Return how to install an extra of pyproject.toml, for messages."""
    return f'pip install ".[{extra}]" in the folder of Intelligent Generation'
