"""SQLite files that stop nobody: see `Database`."""

from .migrating import Migration
from .store_file import Database, recovering

__all__ = ["Database", "Migration", "recovering"]
