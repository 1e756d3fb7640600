"""Ratings → preferences."""

from .engine import LearningEngine
from .preferences import Preference, Preferences
from .store import Feedback, StoredGeneration, Timing

__all__ = ["Feedback", "LearningEngine", "Preference", "Preferences", "StoredGeneration", "Timing"]
