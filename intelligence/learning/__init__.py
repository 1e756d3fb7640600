"""Ratings, and the preferences that follow from them."""

from .preferences import Preference, Preferences
from .store import Feedback, LearningEngine, StoredGeneration, Timing

__all__ = ["Feedback", "LearningEngine", "Preference", "Preferences", "StoredGeneration", "Timing"]
