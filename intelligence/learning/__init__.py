"""Ratings, and the preferences that follow from them."""

from .learning_records import Feedback, StoredGeneration, Timing
from .preferences import Preference, Preferences
from .store import LearningEngine

__all__ = ["Feedback", "LearningEngine", "Preference", "Preferences", "StoredGeneration", "Timing"]
