"""Sentences about a memory plan."""

from __future__ import annotations

from ..records import Message


class MemoryMessage(Message):
    """Sentences of the reasons that a memory plan carries."""

    BUDGET_RAM = "{budget} of RAM are free; the CPU samples, so limits on VRAM do not apply"
    BUDGET_UNKNOWN = "free RAM could not be read, so no limit is known"
    BUDGET_FREE = "{budget} are free on {device}"
    BUDGET_SHARED = "{budget} are free on {device}, where other programs hold {others}"
    BUDGET_SETTINGS = "{budget}, the limit of the memory settings"
    BUDGET_GENERATION = "{budget}, the limit of this generation"
    OTHERWISE_FREE = "{free}, all that is free"

    CORRECTED = "measured in earlier runs on this device, against the prediction: {factors}"
    ESTIMATED = "this model is of no known size: its memory is estimated from {model}"

    FULL_GPU = "all weights stay on the device; predicted peak {peak}"
    CPU_OFFLOAD = "only the running model is on the device, the others wait in RAM; predicted peak {peak}"
    SEQUENTIAL = "weights stream to the device module by module, which is slow; predicted peak {peak}"
    DYNAMIC_VRAM = "ComfyUI moves weights in and out by itself; predicted peak without them {peak}"
    REQUESTED = "{strategy} was requested"
    NOTHING_TO_OFFLOAD = "{strategy} was requested, but {device} has no separate memory to offload to"
    OTHERWISE_FASTER = "{option}, which needs about {needed}"

    ADDED_TIME = "moving weights, tiles or smaller batches add about {time}"
    ADDED_TIME_GUESSED = (
        "moving weights, tiles or smaller batches add about {time} (a cautious guess: the speed of this device is not "
        "known yet)"
    )

    WEIGHTS_FLOAT8 = "the UNet's weights are 8 bit floats on the device, which changes the picture a little"
    WEIGHTS_INT8 = "the UNet's Linear weights are 8 bit integers on the device, which changes the picture a little"
    WEIGHTS_NF4 = "the UNet's Linear weights have 4 bits on the device, which changes the picture visibly"

    VAE_FLOAT16 = "the VAE decodes in float16, as it was loaded: this one does not overflow"
    VAE_BFLOAT16 = "the VAE decodes in bfloat16 to stay within the budget; it has the range of float32 and fewer digits"
    VAE_FLOAT32 = "the VAE decodes in float32: SDXL's overflows in float16"

    TILES = "the VAE decodes in tiles of {tile} pixels: {peak} there"
    OTHERWISE_WHOLE = "decoded whole, about {peak}"
    CFG_SPLIT = "prompt and negative prompt one after the other, to stay within the budget"
    ATTENTION_SLICING = "attention head by head, to stay within the budget"
    BATCH_SIZE = "{batch} of {images} images at a time, to stay within the budget"
    OTHERWISE_BATCH = "{batch} at a time"

    BEST_FILE = "of the {count} files of this model, this one is predicted to be the best for this device"
    FASTER_FILE = "{file} ({format}, {size}) is predicted to be faster on this device"
    SMALLER_FILE = "{file} ({format}, {size}) is predicted to stay on this device whole, which this file does not"

    TOO_LARGE = "even the smallest plan ({option}) needs {needed}, more than the available {budget}"
    SIZE_OR_OFFLOAD = "{width}x{height} would fit; or free memory, or let AUTO offload"
    SIZE_OR_LIMIT = "{width}x{height} would fit; or free memory, or raise the limit"
    OFFLOAD_ONLY = "no smaller size would fit; free memory, or let AUTO offload"
    LIMIT_ONLY = "no smaller size would fit; free memory, or raise the limit"

    OPTION_FLOAT8 = "8 bit float weights"
    OPTION_INT8 = "8 bit weights"
    OPTION_NF4 = "4 bit weights"
    OPTION_BATCH = "{batch} images at a time"
    OPTION_BATCH_OF = "{batch} of {images} images at a time"
    OPTION_CFG_SPLIT = "CFG split"
    OPTION_SLICED = "attention sliced"
    OPTION_TILES = "VAE tiles of {tile}"
    OPTION_BFLOAT16 = "VAE in bfloat16"
