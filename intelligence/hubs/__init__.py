"""CivitAI and Hugging Face. Nothing is sent unless the user asks for it."""

from .civitai import CIVITAI_API, CivitAI
from .hub_work import CleanupReport, Fetched, SearchPage
from .huggingface import HuggingFace

__all__ = ["CIVITAI_API", "CivitAI", "CleanupReport", "Fetched", "HuggingFace", "SearchPage"]
