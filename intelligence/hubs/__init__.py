"""CivitAI and Hugging Face. Nothing is sent unless the user asks for it."""

from .civitai import CIVITAI_API, CivitAI
from .hub_records import CachedRepo, CleanupReport, Fetched, SearchPage
from .huggingface import HuggingFace

__all__ = ["CIVITAI_API", "CachedRepo", "CivitAI", "CleanupReport", "Fetched", "HuggingFace", "SearchPage"]
