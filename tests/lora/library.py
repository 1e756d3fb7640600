"""A small library of LoRAs, as the registry would list it."""

from intelligence.models import Architecture, LoRAKind, ModelKind, ModelMetadata, TriggerSet


class Library:
    """Stands where the registry stands: a list and a revision."""

    def __init__(self, *models, revision=1):
        self.models = list(models)
        self.revision = revision

    def list_models(self, kind=None, *, with_problems=False):
        assert kind is ModelKind.LORA
        return [model for model in self.models if with_problems or model.problem is None]


def lora(name, *triggers, kind=LoRAKind.UNKNOWN, architecture=Architecture.SDXL, folder="", **more):
    """A LoRA's record. `triggers`: words of one set, or tuples for several sets."""
    sets = triggers if triggers and isinstance(triggers[0], tuple) else ((triggers,) if triggers else ())
    return ModelMetadata(
        model_id=f"lora:{folder}{name}.safetensors",
        name=name,
        local_path=f"/loras/{folder}{name}.safetensors",
        architecture=architecture,
        lora_kind=kind,
        trigger_sets=tuple(TriggerSet(tuple(words), "test") for words in sets),
        **more,
    )


ANIME = lora("anime_style_v2", "anime style", kind=LoRAKind.STYLE, tags={"anime": 50, "illustration": 20})
FLAT = lora("cel_flat", "flat cel shading", kind=LoRAKind.STYLE, tags={"anime": 40, "cel shading": 40})
PHOTO = lora("cinematic_photo", "cinematic photo", kind=LoRAKind.STYLE, tags={"photo": 47, "photorealistic": 40})
MAGIC = lora("magic_effects", "magical effects", kind=LoRAKind.EFFECT, tags={"magic": 45, "glowing": 33})
WITCH = lora(
    "mirkwood_witch_xl", ("mirkwood witch", "green dress"), ("mirkwood witch", "black armor"), kind=LoRAKind.CHARACTER
)
