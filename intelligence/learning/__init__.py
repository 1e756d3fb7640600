"""Ratings, and the preferences that follow from them."""

from .engine import LearningEngine
from .learning_records import Feedback, StoredGeneration, Timing
from .preferences import Preference, Preferences

__all__ = ["Feedback", "LearningEngine", "Preference", "Preferences", "StoredGeneration", "Timing"]
