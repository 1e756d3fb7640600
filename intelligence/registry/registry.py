"""The models on this machine, and the facts known about them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from ..config import data_folder, require
from ..errors import InvalidInputError, ModelNotFoundError, StorageError
from ..given_files import expanded, is_folder
from ..hubs import CIVITAI_API, CivitAI, CleanupReport, HuggingFace
from ..hubs.hub_work import Progress
from ..hubs.references import CivitAIModel, CivitAIVersion, HuggingFaceFile, parse_reference
from ..models.kinds import ModelKind
from ..models.metadata import HUB_SOURCES, ModelMetadata, ModelSummary
from ..validation import checked
from .file_hashes import FileHashes
from .hashing import HashReport, hash_models, mismatch
from .hub_files import free_downloads, register_fetched
from .listing import Listing
from .model_rows import from_summary
from .model_store import SORTS, ModelStore, reasons_by_path
from .previews import Preview, read_preview
from .scan import RegistryStatus, ScanProgress, ScanReport, registry_status, scan
from .user_corrections import Correction, changed_correction

READ_BATCH = 200
"""Records in memory at a time while a library is read."""

Folders = Mapping[ModelKind | str, Sequence[str | Path]] | Sequence[str | Path]


class ModelRegistry:
    """Models on this machine: found by scanning folders or fetched from a hub, kept in one SQLite file.

    The file is `db_path` (None: registry.db in the data folder), opened (and made) on first use. Every method may be
    called from any thread, and raises StorageError when the database cannot be used. Files of the user's library are
    only read.
    """

    def __init__(self, db_path: str | Path | None = None) -> None:
        self.store = ModelStore(Path(db_path) if db_path is not None else data_folder() / "registry.db")
        self.file_hashes = FileHashes(self.store)
        self._listed: Listing | None = None
        self._progress = ScanProgress()

    @property
    def revision(self) -> int:
        """A number that grows with every change of the registry."""
        return self.store.revision()

    @property
    def folder(self) -> Path:
        """The folder of the database, where later stages keep their indexes of these models too."""
        return self.store.path.parent

    def close(self) -> None:
        """Close the database; using the registry again opens it again."""
        self.store.close()

    def register_model(self, metadata: ModelMetadata) -> ModelMetadata:
        """Add `metadata`, or replace the model of the same id."""
        require(bool(metadata.model_id and metadata.name), "a model needs a model_id and a name")
        self.store.put(metadata)
        return metadata

    def get_model(self, name: str) -> ModelMetadata:
        """Return the present model of this id, ComfyUI name (`sub/foo.safetensors`), or name (`sub/foo`, `foo`).

        Case and Unicode form count unless nothing matches exactly; of several with one name the first LoRA counts.
        Raises ModelNotFoundError, whose message names similar ones.
        """
        listing = self._listing()
        key = name.replace("\\", "/")
        found = listing.find(key) or listing.find(self.store.moved_to(key) or "")
        model = self.store.get(found.model_id) if found else None
        if model is None:
            names = listing.similar_names(key)
            hint = f"; similar: {', '.join(names)}" if names else ""
            raise ModelNotFoundError(f"no model named {name!r} in the registry{hint}. Scan its folder first")
        if model.source in HUB_SOURCES:
            with suppress(StorageError):  # it only tells which download was used last
                self.store.hubs.touch_download(model.local_path, time.time())
        return model

    def moves(self) -> dict[str, str]:
        """Return earlier id → present id of every model that was moved or renamed."""
        return self.store.moves()

    def update_model(self, model_id: str, **changes: Any) -> ModelMetadata:
        """Change fields of one model by hand; later scans keep these changes.

        Raises ModelNotFoundError, or InvalidInputError for an unknown field or a value of the wrong type.
        """
        record = self.store.get_plain(model_id)
        if record is None:
            raise ModelNotFoundError(f"no model has the id {model_id!r}")
        fields = record.to_dict()
        for name in changes:
            require(name in fields and name not in ("schema", "type"), f"cannot change {name!r} of a model")
        changed = ModelMetadata.from_dict({**fields, **changes})
        plain = changed.to_dict()
        self.store.edit(changed, {name: plain[name] for name in changes})
        return self.store.get(model_id) or changed

    def correct(self, name: str, **changes: Any) -> ModelMetadata:
        """Store the user's word about a model, which counts before files, sidecars and hubs; return its record then.

        It stays through scans, moves and renames, for the file's content, and holds for copies of the file too.

        Args:
            name: as for `get_model`.
            changes: fields of `Correction` (`base`, `kind`, `triggers`, `strength`, `strength_clip`, `exclude`,
                `favourite`); None takes one back, the others stay.

        Raises:
            ModelNotFoundError: no such model.
            InvalidInputError: no such field, or a value that it cannot have.
        """
        model = self.get_model(name)
        word = changed_correction(model, self.correction(model.model_id), changes).to_plain()
        self.store.correct(model.model_id, model.digest, word)
        return self.store.get(model.model_id) or model

    def correction(self, name: str) -> Correction:
        """Return the user's word about a model. Raises ModelNotFoundError."""
        return Correction.from_dict(self.store.word(self.get_model(name).model_id))

    def reset_correction(self, name: str) -> ModelMetadata:
        """Take the user's word about a model back, whole; return its record then. Raises ModelNotFoundError."""
        return self.correct(name, **dict.fromkeys(self.correction(name).to_plain()))

    def copies(self, name: str) -> list[str]:
        """Return the ids of the other present models with the same content. Raises ModelNotFoundError."""
        model = self.get_model(name)
        same = [other.model_id for other in self._listing().models if model.digest and other.digest == model.digest]
        return [model_id for model_id in same if model_id != model.model_id]

    def delete_model(self, model_id: str) -> None:
        """Forget one model; its file stays where it is, and a later scan finds it anew. Raises ModelNotFoundError."""
        if not self.store.delete(model_id):
            raise ModelNotFoundError(f"no model has the id {model_id!r}")

    def list_models(self, kind: ModelKind | None = None, *, with_problems: bool = False) -> list[ModelMetadata]:
        """Return the present models, sorted by name; those that cannot be used only `with_problems`."""
        return list(self.read_models(self.summaries(kind, with_problems=with_problems)))

    def summaries(self, kind: ModelKind | None = None, *, with_problems: bool = False) -> list[ModelSummary]:
        """Return the models of `list_models`, with the fields that choices are filtered by; `read_models` adds more."""
        return [
            model
            for model in self._listing().models
            if (kind is None or model.kind is kind) and (with_problems or model.problem is None)
        ]

    def read_models(self, models: Iterable[ModelSummary]) -> Iterator[ModelMetadata]:
        """Yield the whole record of each of these, in their order; of a deleted one, the fields of its summary."""
        pending = iter(models)
        while batch := list(islice(pending, READ_BATCH)):
            found = self.store.get_all([model.model_id for model in batch])
            yield from (found.get(model.model_id) or from_summary(model) for model in batch)

    def search(
        self,
        text: str = "",
        *,
        kind: ModelKind | None = None,
        base_model: str | None = None,
        source: str | None = None,
        tags: Sequence[str] = (),
        sort: str = "name",
        limit: int = 50,
    ) -> list[ModelMetadata]:
        """Return the usable models whose names, trigger words, tags or description hold every word of `text`.

        Of copies of one file the first is returned; `copies` names the others.

        Args:
            base_model: a base model's name, an architecture (`sdxl`) or a family (`pony`), in any case.
            tags: all of them, each whole.
            sort: `name`, `newest` or `size` (largest first).

        Raises:
            InvalidInputError: unknown `sort`, or a `limit` below 1.
        """
        require(sort in SORTS, f"sort must be one of {', '.join(SORTS)}, got {sort!r}")
        limit = checked("limit", limit, int, ge=1, le=1_000_000)
        filters = (("kind", kind), ("base", base_model), ("source", source))
        given = [(column, _bindable(str(value))) for column, value in filters if value is not None]
        return self.store.search(
            [_bindable(word) for word in text.split()], given, [_bindable(tag) for tag in tags], sort, limit
        )

    def scan(
        self,
        folders: Folders,
        on_progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> ScanReport:
        """Find new, changed, moved and removed files under `folders`; files are listed as soon as they are read.

        A file that is gone from one path and there at another, with equal size, header entries and hash (or, where no
        hash is known, time of change) keeps its history: changes made by hand, its hash, and its old id as an alias.

        Args:
            folders: model kind → its folders; a plain sequence means LoRA folders. Other folders' models stay as
                they are.
            on_progress: called with (files read, files to read).
            cancelled: called between files; True stops the scan, which keeps the files read until then.

        Raises:
            InvalidInputError: no sequence of folders, or an unknown model kind.
        """
        given = _folders(folders)
        with self._progress.following(on_progress) as progress:
            report = scan(self.store, given, progress, cancelled)
        self._progress.problems = report.problems
        return report

    def roots(self) -> set[str]:
        """Return the scanned folders whose models are present."""
        return self.store.roots()

    def leave_out_vanished(self) -> None:
        """Mark the models of scanned folders that are gone (a drive that is off) as absent, until a scan finds them."""
        if gone := {root for root in self.roots() if not is_folder(root)}:
            self.store.mark_absent(gone)

    def status(self) -> RegistryStatus:
        """Return the numbers of models, and the progress of a scan in this process; quick enough for every second."""
        return registry_status(self.store, self._progress)

    def hash_models(
        self,
        on_progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        max_bytes_per_second: float | None = None,
        kinds: Collection[ModelKind] | None = None,
    ) -> HashReport:
        """Compute SHA-256, AutoV2 and AutoV3 of the files without a known hash, small files first.

        Each file is stored as soon as it is done, so that the next call resumes where this one was stopped.

        Args:
            on_progress: called with (files done, files to do).
            cancelled: called before every megabyte; True stops. It may wait to pause the reading.
            max_bytes_per_second: None: as fast as the disk.
            kinds: only these; None: all.
        """
        if max_bytes_per_second is not None:
            checked("max_bytes_per_second", max_bytes_per_second, float, gt=0)
        return hash_models(self.store, kinds, on_progress, cancelled, max_bytes_per_second)

    def verify(self, name: str | None = None) -> dict[str, str]:
        """Read the file `name` (None: every present one) again, whole, and compare it with its record.

        Return model id → what is wrong: a broken header, or another hash than a sidecar, hub or earlier reading gave.
        Raises ModelNotFoundError.
        """
        models = self.read_models(self.summaries(with_problems=True)) if name is None else [self.get_model(name)]
        said = [(model, model.problem or mismatch(model)) for model in models if model.local_path]
        wrong = {model.model_id: (model.local_path, reason) for model, reason in said if reason}
        return {model_id: reasons_by_path([each])[each[0]] for model_id, each in wrong.items()}

    def preview(self, name: str) -> Preview | None:
        """Return the picture of a model (PNG, JPEG or WebP by its content), or None where it has none.

        Raises ModelNotFoundError, or UnsupportedModelError where its file is no such picture or unreasonably large.
        """
        return read_preview(self.get_model(name))

    def register_from_huggingface(
        self,
        repo_id: str,
        filename: str | None = None,
        *,
        kind: ModelKind = ModelKind.LORA,
        folder: str | Path | None = None,
        token: str | None = None,
        offline: bool = False,
        on_progress: Progress | None = None,
    ) -> ModelMetadata:
        """Fetch one safetensors file of a Hugging Face repository (unless it is already here) and register it.

        Args:
            filename: path inside the repository; None where it holds only one, or one of the usual LoRA name.
            folder: where to put it; None: `downloads` in the data folder.
            on_progress: called with (bytes done, bytes in all or None).
            offline: use only what is on this machine.

        Raises:
            HubError: unreachable, refused, not there, or not the promised file; an interrupted download starts anew.
            InvalidInputError: no such repository name, or several files to choose from.
            MissingDependencyError: the extra `hubs` is not installed.
        """
        target = _target(folder)
        hub = HuggingFace(token=token, offline=offline)
        fetched = hub.fetch(repo_id, target, filename=filename, on_progress=on_progress)
        return register_fetched(self.store, fetched, kind, target)

    def register_from_civitai(
        self,
        model_id: int,
        *,
        version: int | None = None,
        folder: str | Path | None = None,
        token: str | None = None,
        base_url: str = CIVITAI_API,
        on_progress: Progress | None = None,
    ) -> ModelMetadata:
        """Download a CivitAI model (its newest version, or `version`'s id) and register it with the facts of its page.

        Args:
            folder: where to put it; None: `downloads` in the data folder.
            on_progress: called with (bytes done, bytes in all or None).
            token: sent to the API's own host only.

        Raises:
            HubError: unreachable, refused, no such model, or not the promised file; nothing is left behind then.
            MissingDependencyError: the extra `hubs` is not installed.
        """
        target = _target(folder)
        fetched = CivitAI(token=token, base_url=base_url).fetch(
            model_id, target, version=version, on_progress=on_progress
        )
        return register_fetched(self.store, fetched, fetched.facts.kind, target)

    def register_from_reference(
        self,
        reference: str,
        *,
        kind: ModelKind = ModelKind.LORA,
        folder: str | Path | None = None,
        token: str | None = None,
        on_progress: Progress | None = None,
    ) -> ModelMetadata:
        """Download and register the model that a hub's address or id names; see `hubs.references.parse_reference`.

        Args:
            kind: of a file from Hugging Face; CivitAI says it itself.

        Raises:
            InvalidInputError: it names no model of either hub.
            HubError, MissingDependencyError: as `register_from_civitai` and `register_from_huggingface`.
        """
        match parse_reference(reference):
            case HuggingFaceFile(repo_id, filename):
                return self.register_from_huggingface(
                    repo_id, filename, kind=kind, folder=folder, token=token, on_progress=on_progress
                )
            case CivitAIModel(model_id, version):
                pass
            case CivitAIVersion(version):
                model_id = CivitAI().version_model(version)
        return self.register_from_civitai(
            model_id, version=version, folder=folder, token=token, on_progress=on_progress
        )

    def cleanup_cache(
        self, keep_recent: int = 0, max_size_gb: float | None = None, dry_run: bool = True
    ) -> CleanupReport:
        """Remove files that this registry downloaded, the least recently used first; no other file is touched.

        Args:
            keep_recent: number of most recently used files that stay in any case.
            max_size_gb: stop as soon as the rest is no larger (GiB); None: remove all but `keep_recent`.
            dry_run: only report the files.
        """
        return free_downloads(self.store, keep_recent, max_size_gb, dry_run)

    def _listing(self) -> Listing:
        listed = self._listed
        if listed is None or listed.revision != self.store.revision():
            listed = self._listed = Listing(*self.store.summaries())
        return listed


def _target(folder: str | Path | None) -> Path:
    return expanded(folder).absolute() if folder is not None else data_folder() / "downloads"


def _folders(folders: Folders) -> dict[ModelKind, list[Path]]:
    require(not isinstance(folders, (str, bytes, Path)), f"folders must be a sequence of folders, got one: {folders!r}")
    given = folders if isinstance(folders, Mapping) else {ModelKind.LORA: folders}
    result: dict[ModelKind, list[Path]] = {}
    for kind, paths in given.items():
        require(not isinstance(paths, (str, bytes, Path)), f"folders[{str(kind)!r}] must be a sequence of folders")
        try:
            result[ModelKind(kind)] = [expanded(path).absolute() for path in paths]
        except ValueError:
            raise InvalidInputError(f"unknown model kind {kind!r}; known: {', '.join(ModelKind)}") from None
    return result


def _bindable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
