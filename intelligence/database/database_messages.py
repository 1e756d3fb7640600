"""Sentences on databases that cannot be used: the cause and its remedy."""

from __future__ import annotations

from ..records import Message


class DatabaseMessage(Message):
    """Problems of a database's file. All are tried again by themselves."""

    IN_USE = "{path} is in use by another program; close it, or a second ComfyUI, or wait for its backup"
    DAMAGED = "{path} is damaged ({error}) and cannot be renamed; move it away"
    NO_DATABASE = "{path} is no SQLite database ({error}) and cannot be renamed; move it away"
    DISK_FULL = "the disk that holds {path} is full; free some space (what was stored before is intact)"
    READ_ONLY = "{path} is read-only; make the file and its folder writable"
    DISK_ERROR = "the disk that holds {path} reports an error ({error}); check it, copy the folder elsewhere"
    UNUSABLE = "cannot use the database {path}: {error}; make its folder writable"
    OR_OTHER_FOLDER = "{cause}, or name another data folder in the environment variable {variable}"
    NEWER = (
        "{path} was written by a newer version (schema {found}, this one reads up to {known}); update Intelligent "
        "Generation, or name another data folder in {variable}"
    )
