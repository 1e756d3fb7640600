"""Pictures that the user made before, or elsewhere: read only where that is switched on, and never changed."""

from .own_pictures import HistoryStatus, PictureHistory
from .own_use import CheckpointUse, OwnUse, PairUse
from .past_pictures import Mark, PastPicture

__all__ = ["CheckpointUse", "HistoryStatus", "Mark", "OwnUse", "PairUse", "PastPicture", "PictureHistory"]
