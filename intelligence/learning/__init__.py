"""Ratings → preferences."""

from .engine import LearningEngine
from .preferences import Preference, Preferences
from .store import Feedback, StoredGeneration

__all__ = ["Feedback", "LearningEngine", "Preference", "Preferences", "StoredGeneration"]
