"""Ratings, and the preferences that follow from them."""

from .generation_rows import StoredGeneration
from .preferences import Preferences
from .rating_rows import Feedback
from .store import LearningEngine, RatedPicture
from .timings import Timing

__all__ = ["Feedback", "LearningEngine", "Preferences", "RatedPicture", "StoredGeneration", "Timing"]
