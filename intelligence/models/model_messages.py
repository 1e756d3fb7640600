"""Sentences on what a model is."""

from __future__ import annotations

from ..records import Message


class ModelMessage(Message):
    """Grounds for a checkpoint's family; see `FamilyFinding`."""

    NAMED = "{source}, '{text}', names {family}"
    NAMED_NOISE = "{named}, but it predicts noise"
    NAMED_V = "{named}, and it predicts v"
    SAYS_V = "{source} says v-prediction, which NoobAI v-pred is known for"
    PREDICTS_V = "it predicts v, {schedule}, as NoobAI v-pred does"
    SAMPLES_EDM = (
        "it samples {schedule} without fixed steps, as Playground v2.5 and CosXL do, for which no settings are known"
    )
    FROM_UNKNOWN_LEVEL = "from an unknown noise level"
    FROM_LEVEL = "from noise level {sigma:g}"
    FROM_LEVEL_ZERO_SNR = "from noise level {sigma:g} (zero terminal SNR)"
    TITLE_IN_HEADER = "the title in its header"
    TRAINED_FROM = "the model it was trained from"
    BASE_MODEL = "its base model"
    NAME = "its name"
    HEADER = "its header"
    ONLY_NETWORK = "only {family}'s network has this form"
    CHOSEN_BY_USER = "chosen by you"
    SHAPED_LIKE_SDXL = "its weights are shaped like SDXL's, and nothing tells which fine-tune it is"
    EDITION_GUESSED = (
        "its network is {network}'s, and nothing tells which edition: {family} is a guess, whose settings do the "
        "least harm to the others. Name the family if it is another"
    )
    SHAPED_LIKE = "its weights are shaped like {family}'s"
    NO_SETTINGS = "it is a {network} model, for which no settings are known"
    LOADED_AS = "it is loaded as {network}, for which no settings are known"
    NOTHING_TELLS = "neither its name nor its file tells what it is"
