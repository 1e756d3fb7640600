"""SaveGeneration: images → files that hold the generation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths
import numpy as np
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
                io.Image.Input("images", tooltip="The images of the generation."),
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

        if len(images) != len(generation.image_ids):
            raise ValueError(
                f"SaveGeneration: {len(images)} images are linked, but the generation describes "
                f"{len(generation.image_ids)}. Link the IMAGE of the same Intelligent Sampler."
            )
        height, width = images.shape[1:3]
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), width, height
        )
        comfy: dict[str, Any] = {"prompt": cls.hidden.prompt} if cls.hidden.prompt else {}
        comfy |= cls.hidden.extra_pnginfo or {}
        saved = []
        for index, image in enumerate(images):
            pixels = np.clip(255.0 * image.cpu().numpy(), 0, 255).astype(np.uint8)
            file = f"{name.replace('%batch_num%', str(index))}_{counter + index:05}_.{format}"
            save_image(
                Path(folder) / file,
                Image.fromarray(pixels),
                generation,
                index,
                comfy=comfy,
                embed=not args.disable_metadata,
            )
            saved.append({"filename": file, "subfolder": subfolder, "type": "output"})
        return io.NodeOutput(ui={"images": saved})
