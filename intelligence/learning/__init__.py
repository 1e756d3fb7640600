"""Ratings, and the preferences that follow from them."""

from .preferences import Preferences
from .store import Feedback, LearningEngine, StoredGeneration, Timing

__all__ = ["Feedback", "LearningEngine", "Preferences", "StoredGeneration", "Timing"]
