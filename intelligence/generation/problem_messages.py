"""Sentences of errors that people meet on the page: what is wrong, and what to do."""

from __future__ import annotations

from ..records import Message


class ProblemMessage(Message):
    """Texts of errors. ComfyUI hands them on as text alone, by which the page finds their translation."""

    UNCONFIRMED = (
        "`selection` is empty, and ASSISTED mode waits for your choice: press Suggest (Ctrl+Shift+G) and confirm the "
        "suggestions, write [] for no LoRA, or set `on_unconfirmed` to use_suggestions."
    )
    UNUSABLE_SELECTION = "`selection` names LoRAs that cannot be used here ({loras}). Remove them from `selection`."
    SELECTION_NOT_JSON = '`selection` must be JSON like [{{"lora": "name", "strength": 0.8}}], [] or empty'
    SELECTION_WITHOUT_NAME = "a selected LoRA needs a name, got {entry}"
    SELECTION_WORDS = "{lora}: trigger_words must be a list of texts, got {words}"

    TOO_MANY_SCOUTED = "`scout` must be from 0 to {most}, got {scout}"
    TOO_MANY_BEGUN = "`best_of` must be from 0 to {most}, got {best_of}"
    SCOUT_OR_BEST = "`scout` shows seeds to pick from, `best_of` finishes one by itself: set one of them to 0"
    PICK_TOO_HIGH = "`pick` is {pick}, but only {scout} seeds are scouted"
    SCOUTED_BATCH = "one latent can be scouted at a time, not a batch of {images}"
    SCOUTED_CACHE = "a scouted seed cannot be resumed beside EasyCache: switch one of them off"
    OTHER_DEVICE = (
        "the memory plan was made for {planned}, but this model samples on {actual}: connect Memory Plan to the same "
        "model as the sampler"
    )
    NO_UPSCALER = "{name} is no upscale model that spandrel can read"
    UPSCALER_NOT_HERE = "the library has no upscale model {name}: `scan --kind upscaler FOLDER` reads those of a folder"
    NO_UPSCALE_MODEL = "{name} is not in the folder {folder}: put it there, or set `upscaler` to auto"
    OUT_OF_MEMORY = "out of memory twice while {stage} at {size}: {remedy}; or close what else uses the {device}"
    LARGEST_SIZE = "the largest size that is likely to fit is {size}"
    QUEUE_AGAIN = "queue it again, to be planned smaller than {plan}"
    NO_SIZE_FITS = "no smaller size is likely to fit either"
    SAMPLED_NOT_A_NUMBER = (
        "sampling gave not-a-number instead of a picture: the model overflows in its precision; {remedy}"
    )
    VAE_BROKEN = "the VAE gives not-a-number even in float32: its file is broken; choose another VAE"

    OUTSIDE_OUTPUT = "`filename_prefix`: {prefix} lies outside the output folder"

    NOTHING_TO_RATE = "Feedback: link a generation, or give `generation_id` of an earlier one."
    RATED = "Rated {rating} of 5: {picture}"
    RATED_BEFORE = "{rated} (the picture before this one, which you were looking at)"
    NOT_RATED_YET = "Not rated yet: {picture}"
    NOT_RATED = "Not rated: {problem}"
    RATED_TOO_EARLY = (
        "Not counted: {picture} was made in this very run. Look at it, then click its stars, or set the rating and "
        "queue again."
    )
