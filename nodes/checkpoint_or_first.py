"""CheckpointOrFirst: a checkpoint of this machine, also where a workflow names another."""

from __future__ import annotations

from typing import Any

import folder_paths
from comfy_api.latest import io

from ..intelligence.config import AUTO
from .host.checkpoint_choice import CheckpointChoice, choose_checkpoint
from .host.told_paths import errors_without_folders
from .node_schema import schema


class CheckpointOrFirst(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CheckpointOrFirst",
            display_name="Checkpoint or First",
            description="Loads the checkpoint you name. Where it is not on this machine, or with auto, the first that "
            "is; on a machine without any, the embedded demo model, which draws small emoji.",
            search_aliases=["checkpoint", "load checkpoint", "model loader", "ckpt", "demo", "intelligent"],
            has_intermediate_output=True,
            inputs=[
                io.Combo.Input(
                    "ckpt_name",
                    options=[AUTO, *folder_paths.get_filename_list("checkpoints")],
                    default=AUTO,
                    tooltip="Your checkpoint. auto: the first on this machine, SDXL and its family before others.",
                )
            ],
            outputs=[
                io.Model.Output("MODEL"),
                io.Clip.Output("CLIP"),
                io.Vae.Output("VAE"),
            ],
        )

    @classmethod
    def validate_inputs(cls, ckpt_name: str | None = None) -> bool:
        """Take any name: one that is not there is replaced."""
        return True

    @classmethod
    def fingerprint_inputs(cls, ckpt_name: str | None) -> str:
        return choose_checkpoint(ckpt_name or AUTO).name

    @classmethod
    @errors_without_folders()
    def execute(cls, ckpt_name: str) -> io.NodeOutput:
        from ..intelligence.generation.card import reason_data

        choice = choose_checkpoint(ckpt_name)
        told: dict[str, list[Any]] = {"text": [choice.name]}
        if choice.reason:
            told = {"text": [choice.reason.evidence], "reasons": [reason_data(choice.reason)]}
        return io.NodeOutput(*_load(choice), ui=told)


def _load(choice: CheckpointChoice) -> tuple[Any, ...]:
    if choice.is_demo:
        from .host.demo_model import load_demo_model

        return load_demo_model()
    from .host.core_nodes import core_nodes

    loaded: tuple[Any, ...] = core_nodes().CheckpointLoaderSimple().load_checkpoint(choice.name)
    return loaded
