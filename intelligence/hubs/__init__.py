"""CivitAI and Hugging Face, asked only when the user asks for them."""

from .clients import CachedRepo, CivitAI, CleanupReport, HuggingFace, SearchPage

__all__ = ["CachedRepo", "CivitAI", "CleanupReport", "HuggingFace", "SearchPage"]
