"""Sentences about a generation: its explanation, and the notes of a run."""

from __future__ import annotations

from ..records import Message


class GenerationMessage(Message):
    """See `Reason.of`."""

    EXPLORED = (
        "tries {lora}, as on one prompt in {every}: rate this picture and the other, and the choice learns from both"
    )
    FAMILY_CHANGED = "taken for {earlier} when LoRAs and quality tags were chosen: name the family there too"

    CHOSEN_FOR_OTHER_PROMPT = (
        "these LoRAs were chosen for another prompt (“{prompt}”) and are applied all the same: press Suggest for new "
        "ones, or keep them"
    )
    CHOSEN_FOR_OTHER_MODEL = (
        "these LoRAs were chosen for another checkpoint ({checkpoint}) and are applied all the same: press Suggest for "
        "new ones, or keep them"
    )
    NO_CHECKPOINT = "no checkpoint on this machine: the embedded demo model draws small emoji"
    OTHER_CHECKPOINT = "{named} is not on this machine: {taken} is used"

    LORA_RISES = "{lora} rises for {kind} prompts"
    LORA_FALLS = "{lora} falls for {kind} prompts"
    LORA_FALLS_SHORT = "{lora} falls a little for {kind} prompts: more stars were expected here"
    LORA_RISES_BEYOND = "{lora} rises a little for {kind} prompts: fewer stars were expected here"

    SUMMARY_PROMPT = "Prompt: {kind}, {complexity}"
    NO_SUBJECT = "no particular subject"
    SUMMARY_LORAS = "LoRAs: {loras}"
    SUMMARY_NO_LORAS = "LoRAs: none"
    SUMMARY_LORA = "{name} at {strength:.2f}"
    SUMMARY_SETTINGS = "Settings: {steps} steps, CFG {cfg:g}, {sampler}/{scheduler}, {width}×{height}"
    SUMMARY_MEMORY = "Memory: {strategy} on {device}"
    SUMMARY_MEMORY_TILES = "Memory: {strategy} on {device}, VAE tiles of {tile} px"
    MAY_NOT_FIT = "{memory}, may not fit"
    SUMMARY_SEED = "Seed: {seeds}"
    SUMMARY_SEEDS = "Seeds: {seeds}"
    SUMMARY_TIME = "Took {took}"

    OTHERWISE = "{sentence} (otherwise {otherwise})"
    LORA_CHOSEN = "{reasons} (confidence {confidence:.2f})"
    LORA_REJECTED = "not applied: {reason}"
    UNKNOWN = "unknown"
    TIME = "Time: predicted {predicted}"
    TIME_TAKEN = "Time: predicted {predicted}, took {took}"
    FORWARD_ITEMS = "Forward items (one image once through the model): predicted {predicted}"
    FROM_TO = "{low} to {high}"
    FORWARD_ITEMS_COMPUTED = (
        "Forward items (one image once through the model): predicted {predicted}, computed {computed}"
    )

    PLAN_TIME = "Time: about {time}"
    PLAN_TIME_GUESSED = "Time: about {time} (a cautious guess: the speed of this device is not known yet)"
    NEXT_FASTER = "Next faster: {option}, {memory}"
    NEXT_SMALLER = "Next smaller: {option}, {memory}"
    OPTION_TIME = "{option}, about {time}"

    STEP_OFF = "switched off: {step}"
    STEP_TIME = "{step}; about {time} of it"
    STEP_MEMORY = "{step}, up to {memory}"

    DEMO_LIBRARY = "LoRAs are chosen from those of the demo model, not from your library: name a checkpoint for that"
    LIBRARY_BEING_READ = "the library is still being read ({done} of {total} files): chosen from what is known so far"
    LIBRARY_NOT_READ = "new and changed files are not seen: {problem}"
    LIBRARY_IN_MEMORY = "{problem}. Until then the library is kept in memory, and read again at every start"
    CORRECTIONS_AS_READ = (
        "{problem}. Until then your corrections count as far as they can be read, and stay as they are"
    )
    RATINGS_AS_READ = "{problem}. Until then ratings count as far as they can be read, and no new one can be stored"
    MEMORY_IN_MEMORY = "{problem}. Until then measured memory is remembered until the end of this run of the program"
    STORE_MADE_ANEW = (
        "{file} was damaged and was made anew: {rows} of its entries came back, the next scan adds what is missing "
        "(the damaged file is {aside})"
    )
    RATINGS_MADE_ANEW = (
        "{file} was damaged and was made anew: {ratings} ratings and {generations} generations came back; what was "
        "stored after the last daily backup and could not be read is lost (the damaged file is {aside})"
    )
    SAMPLED_ONE_BY_ONE = "sampled one by one: with {sampler}, images that share a forward pass come out differently"
    BATCH_SPLIT = "sampled {size} at a time to fit into memory: not what KSampler gives for the whole batch at once"
    GUIDED_THROUGHOUT = (
        "guidance stays on in every step: another node's guidance on the model needs the negative prompt"
    )
    OWN_SHIFT = "shift {own:g}, which another node set on the model, and not the plan's {planned:g}"
    OWN_GUIDANCE = "guidance {own}, which the conditioning brings along, and not the plan's {planned:g}"
    OWN_CFG_FUNCTION = (
        "RescaleCFG is off: another node put a function of its own on the model, in whose place it would stand"
    )
    SCOUTED = "{seeds} seeds, sampled for {steps} steps each. Set `pick` to the one to finish."
    NOT_SCOUTED = "nothing scouted is kept for these inputs: sampled from the start"
    NOT_RESUMABLE = (
        "a scouted seed cannot be resumed beside self-attention guidance, which needs every step's attention: take it "
        "off the model, or set `scout` to 0"
    )
    RETRYING = "out of memory while {stage}: retrying with {change}"
    RETRYING_ALONE = "out of memory while {stage}: retrying with all other models unloaded"
    NOT_REMEMBERED = "Not remembered for later plans: {error}"

    HASH_UNKNOWN = "hash not known yet"
    PROMPT_CUT = "{file}: the prompt is too long for JPEG's 64 KB and was cut there"
    LEFT_OUT_OF_JPEG = "{file}: no room in JPEG's 64 KB for {names}; PNG and WebP keep them"

    NOT_STORED = "Not stored, so it cannot be rated: {error}"
    CHANGED_IN_FLIGHT = "after step {step} the run was going to take {expected}, beyond the limit of {limit}: {changes}"
    GUIDANCE_ENDS = "guidance ends at sigma {sigma:.3g}"
    FEWER_STEPS = "{steps} steps instead of {before}"
    TIME_LIMIT_MISSED = "the limit of {limit:g} s will be exceeded: about {expected} in all at this speed"
    TIME_LIMIT_EXCEEDED = "the limit of {limit:g} s was exceeded: it took {took} in all"
    RESUMED = (
        "picked from {seeds} scouted seeds, which took {spent} passes of the model; "
        "resumed after step {step}, so {kept} of them are not repeated"
    )
    BEST_BY_TASTE = (
        "number {number} of {tried}: by your ratings you will like it {stars} stars more than the first "
        "({percent} % sure)"
    )
    FIRST_BY_TASTE = (
        "the first of {tried}: by your ratings you will like it {stars} stars more than the next ({percent} % sure)"
    )
    BEST_UNKNOWN = "the first of {tried}: your ratings do not tell yet which of them you will like more"
    FEWER_TRIED = "{tried} tried and not {asked}: the limit of {limit:g} s leaves no time for more"
    COST_OF_TRYING = (
        "{tried} tried for {steps} steps each, which took {spent} passes of the model and {took}; {kept} of them are "
        "not repeated"
    )
    ONE_IMAGE = "image {numbers}"
    SEVERAL_IMAGES = "images {numbers}"
    LATENT_NOT_A_NUMBER = "{images}: sampling gave not-a-number; not a picture"
    LATENT_FLAT = "{images}: the latent is flat; nothing was painted"
    VAE_OVERFLOWED = "{images}: the VAE overflowed in {dtype}; decoded again in float32"
    VAE_NOT_A_NUMBER = "{images}: the VAE gives not-a-number even in float32; not a picture"
    ONE_COLOUR = "{images}: of one colour only"
