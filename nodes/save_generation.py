"""SaveGeneration: images → files that hold the generation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths
import torch
from comfy.cli_args import args
from comfy_api.latest import io
from PIL import Image

from .node_schema import GenerationType, schema

if TYPE_CHECKING:
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
                    tooltip="Name of the files; folders and %date:yyyy-MM-dd% as in Save Image.",
                ),
                io.Combo.Input(
                    "format", options=["png", "webp", "jpg"], default="png", tooltip="PNG keeps everything."
                ),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )

    @classmethod
    def execute(cls, images: torch.Tensor, generation: Generation, filename_prefix: str, format: str) -> io.NodeOutput:
        from ..intelligence.generation.image_file import save_image
        from ..intelligence.generation.image_identity import image_digest, image_indices
        from .host.images import eight_bit

        height, width = images.shape[1:3]
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), width, height
        )
        comfy: dict[str, Any] = {"prompt": cls.hidden.prompt} if cls.hidden.prompt else {}
        comfy |= cls.hidden.extra_pnginfo or {}
        pictures = list(eight_bit(images))
        indices = image_indices([image_digest(pixels) for pixels in pictures], generation)
        saved = []
        for number, (pixels, index) in enumerate(zip(pictures, indices, strict=True)):
            numbered = name.replace("%batch_num%", str(number))
            file = _free_name(Path(folder), numbered, counter + number, format)
            save_image(
                Path(folder) / file,
                Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels),
                generation,
                index,
                comfy=comfy,
                embed=not args.disable_metadata,
            )
            saved.append({"filename": file, "subfolder": subfolder, "type": "output"})
        return io.NodeOutput(ui={"images": saved})


def _free_name(folder: Path, name: str, number: int, suffix: str) -> str:
    """Return the first name from `number` on of which neither the image nor its JSON is there.

    ComfyUI counts the files of a prefix, but not with `%batch_num%` in it.
    """
    while any((folder / f"{name}_{number:05}_.{each}").exists() for each in (suffix, "json")):
        number += 1
    return f"{name}_{number:05}_.{suffix}"
