"""SaveGeneration: images → files that hold the generation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths
import torch
from comfy.cli_args import args
from comfy_api.latest import io
from PIL import Image

from .host.server_planner import planner
from .host.told_paths import errors_without_folders, without_folders
from .node_schema import ADVANCED, GenerationType, schema

if TYPE_CHECKING:
    from ..intelligence.generation.image_file import SavedPicture
    from ..intelligence.generation.stages import Generation


class SaveGeneration(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SaveGeneration",
            display_name="Save Generation",
            description="Saves the images with the workflow, an A1111 parameters text (CivitAI reads it) and the "
            "pack's own JSON inside, and that JSON beside it.",
            search_aliases=["save", "save image", "metadata", "intelligent"],
            is_output_node=True,
            inputs=[
                io.Image.Input("images", tooltip="Images of the generation: all, some, or changed by other nodes."),
                GenerationType.Input("generation", tooltip="From Intelligent Sampler."),
                io.String.Input(
                    "filename_prefix",
                    default="Intelligent",
                    tooltip="Name of the files, with folders as in Save Image. Filled in: %seed% %model% %sampler% "
                    "%steps% %cfg% %loras% %date:yyyy-MM-dd%",
                ),
                io.Combo.Input(
                    "format", options=["png", "webp", "jpg"], default="png", tooltip="PNG and WebP keep everything."
                ),
                io.Boolean.Input(
                    "record_beside",
                    default=True,
                    optional=True,
                    tooltip="Also write the pack's JSON beside each image.",
                    **ADVANCED,
                ),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None = None) -> bool | str:
        """Refuse, before anything is sampled, a place that cannot be written."""
        from ..intelligence.errors import IntelligentGenerationError
        from ..intelligence.generation.problem_messages import ProblemMessage
        from ..intelligence.pictures.picture_files import check_destination

        if _is_outside(filename_prefix or ""):
            return ProblemMessage.OUTSIDE_OUTPUT.format(prefix=repr(filename_prefix))
        try:
            check_destination(_output() / Path(filename_prefix or "").parent / "image.png")
        except IntelligentGenerationError as error:
            return without_folders(str(error))
        return True

    @classmethod
    @errors_without_folders()
    def execute(
        cls,
        images: torch.Tensor,
        generation: Generation,
        filename_prefix: str,
        format: str,
        record_beside: bool = True,
    ) -> io.NodeOutput:
        from ..intelligence.errors import InvalidInputError, StorageError
        from ..intelligence.generation.image_file import Metadata, complete_record, picture_name, save_picture
        from ..intelligence.generation.image_identity import image_digest, image_indices
        from ..intelligence.generation.noticing import note_saved
        from ..intelligence.generation.problem_messages import ProblemMessage
        from .host.images import eight_bit

        height, width = images.shape[1:3]
        comfy: dict[str, Any] = {"prompt": cls.hidden.prompt} if cls.hidden.prompt else {}
        comfy |= cls.hidden.extra_pnginfo or {}
        keep = Metadata.ALL if record_beside else Metadata.INSIDE
        written: list[tuple[SavedPicture, int | None]] = []

        def complete(completed: Generation) -> None:
            for each, index in written:
                complete_record(each, completed, index)

        if not args.disable_metadata:
            generation = planner().used_files.waited(generation)
        pictures = list(eight_bit(images))
        indices = image_indices([image_digest(pixels) for pixels in pictures], generation)
        saved: list[dict[str, str]] = []
        notes: list[str] = []
        problems: list[str] = []
        for number, (pixels, index) in enumerate(zip(pictures, indices, strict=True)):
            prefix = picture_name(filename_prefix, generation, index, (width, height))
            if _is_outside(prefix):  # a linked prefix is known only now
                notes.append(ProblemMessage.OUTSIDE_OUTPUT.format(prefix=repr(prefix)))
                prefix = Path(prefix).name
            folder, subfolder, file = _free_name(prefix, number, (width, height), format)
            image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
            try:
                picture = save_picture(
                    folder / file,
                    image,
                    generation,
                    index,
                    comfy=comfy,
                    keep=Metadata.NONE if args.disable_metadata else keep,
                )
            except (StorageError, InvalidInputError) as error:
                problems.append(str(error))
                continue
            written.append((picture, index))
            notes += picture.notes
            saved.append({"filename": file, "subfolder": subfolder, "type": "output"})
        note_saved(
            planner().learning, generation.id, generation.image_ids, {one for _, one in written if one is not None}
        )
        if problems:
            raise StorageError("\n".join(problems))
        if not args.disable_metadata:
            planner().used_files.afterwards(generation, complete)
        image_ids = [None if index is None else generation.image_ids[index] for _, index in written]
        told = {"images": saved, "generation_id": [generation.id], "image_ids": image_ids}
        return io.NodeOutput(ui={**told, **({"text": notes} if notes else {})})


def _output() -> Path:
    return Path(folder_paths.get_output_directory())


def _is_outside(prefix: str) -> bool:
    """Return whether files of this prefix would lie outside the output folder."""
    output = _output().resolve()
    return not (output / Path(prefix).parent).resolve().is_relative_to(output)


def _free_name(prefix: str, number: int, size: tuple[int, int], suffix: str) -> tuple[Path, str, str]:
    """Return folder, subfolder, and the first name of which neither the image nor its JSON is there.

    ComfyUI counts the files of a prefix, but not with `%batch_num%` in it.
    """
    from ..intelligence.pictures.picture_files import shortened

    parent, name = Path(prefix).parent, Path(prefix).name
    prefix = str(parent / shortened(name, len(f"_00000_.{suffix}.json")))
    try:
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, str(_output()), *size)
    except OSError:  # no folder can be made: saving will fail too, and keep the image elsewhere
        return _output() / parent, str(parent), f"{shortened(name, 32)}_{number:05}_.{suffix}"
    name = name.replace("%batch_num%", str(number))
    while any((Path(folder) / f"{name}_{counter:05}_.{each}").exists() for each in (suffix, "json", f"{suffix}.json")):
        counter += 1
    return Path(folder), subfolder, f"{name}_{counter:05}_.{suffix}"
