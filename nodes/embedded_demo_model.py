"""EmbeddedDemoModel: a small model that needs no download."""

from __future__ import annotations

from comfy_api.latest import io

from .host.told_paths import errors_without_folders
from .node_schema import schema


class EmbeddedDemoModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EmbeddedDemoModel",
            display_name="Embedded Demo Model",
            description="A small SDXL that draws some 300 things as emoji of 128x128, so that everything runs without "
            "a checkpoint. Load a checkpoint of your own for real images.",
            search_aliases=["demo", "checkpoint", "load checkpoint", "toy model", "intelligent"],
            inputs=[],
            outputs=[
                io.Model.Output("MODEL", tooltip="Its UNet. Cannot be saved as a checkpoint."),
                io.Clip.Output("CLIP", tooltip="Its two text encoders."),
                io.Vae.Output("VAE", tooltip="Its VAE."),
            ],
        )

    @classmethod
    @errors_without_folders()
    def execute(cls) -> io.NodeOutput:
        from .host.demo_model import load_demo_model

        return io.NodeOutput(*load_demo_model())
