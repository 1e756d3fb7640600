"""The tables of registry.db, version after version."""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE models (
        model_id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        source TEXT NOT NULL,
        base TEXT NOT NULL,
        tags TEXT NOT NULL,
        words TEXT NOT NULL,
        usable INTEGER NOT NULL,
        present INTEGER NOT NULL,
        root TEXT,
        local_path TEXT NOT NULL,
        size INTEGER NOT NULL DEFAULT 0,
        mtime_ns INTEGER NOT NULL DEFAULT 0,
        sidecars TEXT NOT NULL DEFAULT '',
        edits TEXT NOT NULL DEFAULT '{}',
        record TEXT NOT NULL
    );
    CREATE INDEX models_root ON models (kind, root);
    CREATE TABLE downloads (
        local_path TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        used_at REAL NOT NULL,
        owned INTEGER NOT NULL,
        partial TEXT NOT NULL
    );
    CREATE TABLE state (revision INTEGER NOT NULL);
    INSERT INTO state VALUES (0);
    """,
    """
    ALTER TABLE models RENAME TO models_1;
    DROP INDEX models_root;
    CREATE TABLE models (
        id INTEGER PRIMARY KEY,
        model_id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        local_path TEXT NOT NULL,
        source TEXT NOT NULL,
        architecture TEXT NOT NULL,
        family TEXT NOT NULL,
        base_model TEXT,
        lora_kind TEXT NOT NULL,
        problem TEXT,
        present INTEGER NOT NULL,
        described_by INTEGER NOT NULL DEFAULT 0,
        root TEXT,
        size INTEGER NOT NULL DEFAULT 0,
        mtime_ns INTEGER NOT NULL DEFAULT 0,
        sidecars TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX models_path ON models (local_path);
    CREATE TABLE details (
        id INTEGER PRIMARY KEY REFERENCES models (id) ON DELETE CASCADE,
        edits TEXT NOT NULL DEFAULT '{}',
        record TEXT NOT NULL
    );
    CREATE TABLE texts (
        id INTEGER PRIMARY KEY REFERENCES models (id) ON DELETE CASCADE,
        tags TEXT NOT NULL,
        words TEXT NOT NULL
    );
    CREATE TABLE hashes (
        id INTEGER PRIMARY KEY REFERENCES models (id) ON DELETE CASCADE,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        autov3 TEXT
    );
    CREATE TABLE moves (
        previous_id TEXT PRIMARY KEY,
        model_id TEXT NOT NULL
    );
    INSERT INTO models SELECT
        rowid, model_id, name, kind, local_path, source,
        json_extract(record, '$.architecture'), json_extract(record, '$.family'),
        json_extract(record, '$.base_model'), json_extract(record, '$.lora_kind'), json_extract(record, '$.problem'),
        present, 0, root, size, mtime_ns, sidecars FROM models_1;
    INSERT INTO details SELECT rowid, edits, record FROM models_1;
    INSERT INTO texts SELECT rowid, tags, words FROM models_1;
    DROP TABLE models_1;
    CREATE VIRTUAL TABLE word_index USING fts5(words, content='texts', content_rowid='id', detail='none');
    INSERT INTO word_index (word_index) VALUES ('rebuild');
    CREATE TRIGGER texts_added AFTER INSERT ON texts BEGIN
        INSERT INTO word_index (rowid, words) VALUES (new.id, new.words);
    END;
    CREATE TRIGGER texts_removed AFTER DELETE ON texts BEGIN
        INSERT INTO word_index (word_index, rowid, words) VALUES ('delete', old.id, old.words);
    END;
    CREATE TRIGGER texts_changed AFTER UPDATE OF words ON texts BEGIN
        INSERT INTO word_index (word_index, rowid, words) VALUES ('delete', old.id, old.words);
        INSERT INTO word_index (rowid, words) VALUES (new.id, new.words);
    END;
    """,
    """
    ALTER TABLE models ADD COLUMN sha256 TEXT;
    UPDATE models SET sha256 = (SELECT json_extract(record, '$.sha256') FROM details WHERE details.id = models.id);
    CREATE TABLE unknown_hashes (
        hash TEXT PRIMARY KEY,
        asked_at REAL NOT NULL
    );
    """,
    """
    ALTER TABLE models ADD COLUMN mark INTEGER NOT NULL DEFAULT 0;
    UPDATE models SET mark = abs(random() / 2);
    """,
    """
    ALTER TABLE models ADD COLUMN modules TEXT NOT NULL DEFAULT '';
    """,
    """
    ALTER TABLE models ADD COLUMN excluded INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE models ADD COLUMN digest TEXT;
    ALTER TABLE hashes ADD COLUMN digest TEXT;
    ALTER TABLE details ADD COLUMN plain TEXT;
    CREATE INDEX models_digest ON models (digest);
    """,
    """
    CREATE TABLE file_hashes (
        local_path TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        autov3 TEXT NOT NULL
    );
    """,
)
"""The n-th script leads from version n to n + 1. Never changed once released; new ones are appended."""
