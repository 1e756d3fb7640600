"""Sentences and tags that made queries are put together from; see choice_queries.py."""

from __future__ import annotations

ASKS = (
    *("{}", "{}", "{}", "Draw {}", "I want a picture of {}", "Can you make an image of {}?", "Please generate {}"),
    *("A portrait of {}", "A photo of {}", "An illustration of {}", "A scene with {}", "Show me {}", "Create {}"),
    *("A close-up of {}", "How about {}?", "Make a picture of {}", "An image that shows {}", "A painting of {}"),
)


STYLED = (
    *("{}, in the style of {}", "{}, drawn in {} style", "{} in {} style", "{} as {} art", "{}, {} style", "{}, {}"),
    *("{}. Make it look like {}", "{}, as if from {}", "{} that looks like {}", "{}, painted like {}", "{} by {}"),
)


STYLED_FIRST = (
    "A {} picture of {}",
    "{} style, {}",
    "{} illustration of {}",
    "{}: {}",
    "A {} scene of {}",
    "In {} style: {}",
)


WORN = ("wearing {}", "in {}", "dressed in {}", "with {}", "who wears {}")


THINGS = ("{} {}", "{} {}", "A picture of {} {}", "{} alone in {}", "Close-up of {}, {}", "{}, seen from the side, {}")


SETTINGS = (
    *(
        "An empty {}",
        "Inside a {} at night, {}",
        "In a {}, {}",
        "A {} seen from the door, {}",
        "A wide view of a {}, {}",
    ),
    *("A {}, {}", "The {} in the morning light", "Rows of lamps in a {}, {}"),
)


ORDINARY = (
    *(
        "A {} day at the market",
        "Two {} birds on a wire",
        "She keeps a {} in her pocket",
        "The {} stands at the end of the road",
    ),
    *(
        "{} is what they felt that day",
        "A box of {} under the stairs",
        "An old {} with a broken handle",
        "A {} scarf over a chair",
    ),
    *("{} everywhere, and a man sweeping the street", "The {} was cold this morning", "A {} ring on her finger"),
    *("{} shaped cookies on a tray", "Still life with {}, pears and a linen cloth", "A shop called {} at the corner"),
    *(
        "The word {} written on a wall",
        "He shouts {}! and everybody turns around",
        "{} leaves on wet asphalt",
        "Two cups of {}",
    ),
    *(
        "A road through {} hills",
        "The {} of a quiet evening, seen from a train",
        "A train of {} wagons",
        "{}: a study in light",
    ),
    *("A photo of the {} club, taken in 1975", "It smells of {} in the bakery", "They meet at the {} every Friday"),
    *("{}! the boy calls out, both arms in the air", "{}! A dog jumps over the fence", "{}! says the old man"),
)


NOUNS = (
    *("{} of birds over the harbour", "A {} of stones in front of the gate", "The {} of a wide river at dawn"),
    *("Two {} of bread on a table", "A girl collects {} of glass on the beach", "In the garden, {} of old roses"),
    *("{} of dust above the road, a rider far away", "He carries {} of wood to the barn", "The sea and {} of foam"),
)
"""Sentences in which a word before "of" is no name, however rare."""


HELD = (
    *("{} beside a {} table", "{} in front of a {} wall", "{} on a {} floor", "{} down a {} staircase"),
    *("{} under a {} lamp", "{} with a {} bag", "{} beside the {} counter", "a {1} clock, {0}", "{} by the {} door"),
    *("{} behind a {} curtain", "{}, a {} poster on the wall", "{} on the {} steps", "{} and a {} vase"),
    *("{} beside a {} column", "{} at a {} bar", "{} near the {} fountain", "{} next to a {} box"),
)


LONG_HEADS = (
    *("The image shows {}.", "This is a detailed illustration of {}.", "A wide cinematic shot of {}.", "{}."),
    *(
        "In this picture we see {}.",
        "A photograph of {}.",
        "The scene is built around {}.",
        "A highly detailed digital painting of {}.",
    ),
)


LONG_TAILS = (
    *(
        "The light is warm and comes from the left, casting soft shadows.",
        "The mood is quiet and tense.",
        "The camera is low and the lens is wide.",
    ),
    *(
        "The background fades into soft shadows.",
        "The colors are muted and natural.",
        "Fine dust floats in the air.",
        "The composition leaves space on the left for text.",
    ),
    *(
        "Everything is sharp and full of small details.",
        "The overall impression is calm and a little melancholic.",
        "Behind it, rolling hills stretch to the horizon.",
    ),
    *(
        "The picture has the raw look of an old snapshot.",
        "A storm gathers over a wide green valley.",
        "Reflections shimmer on the wet ground.",
        "There is a wooden table with books and a cup of tea.",
    ),
)


NEGATED = (
    *("{} without {}", "{}, no {}", "{} but not {}", "{}. I don't want {}", "{}, anything but {}", "{} instead of {}"),
    *(
        "{}, avoid {}",
        "{} rather than {}",
        "{}. No {}, please",
        "{}, and there is no {} in it",
        "{} with no {}",
        "{}, never {}",
    ),
)


SPANISH_NEGATED = (
    "{} sin {}",
    "{}, no {}",
    "{} pero no {}",
    "{}, nada de {}",
    "{}. No quiero {}",
    "{}, cualquier cosa menos {}",
    "{} en lugar de {}",
    "{}, evita {}",
    "{}, nunca {}",
)


TWINS = (
    ("A portrait of {} on a beach at sunset", "Retrato de {} en una playa al atardecer"),
    ("{} walking through the city at night", "{} caminando por la ciudad de noche"),
    ("An image of {} in a garden with flowers", "Una imagen de {} en un jardín con flores"),
    ("Draw {} under the moonlight", "Dibuja a {} bajo la luz de la luna"),
    ("A girl in the style of {}", "Una chica al estilo de {}"),
    ("A castle on the mountain, {} style", "Un castillo en la montaña, estilo {}"),
)


SPANISH_ASKS = (
    *(
        "{}",
        "retrato de {}",
        "una imagen de {}",
        "dibuja a {}",
        "quiero ver a {}",
        "ilustración de {}",
        "una foto de {}",
        "{} sonriendo",
        "haz un dibujo de {}",
    ),
)


SPANISH_TAILS = (
    *(
        "en una playa al atardecer",
        "en la ciudad de noche bajo la lluvia",
        "sentada en un café",
        "caminando por el bosque",
        "con una espada en la mano",
    ),
    *(
        "en un jardín con flores",
        "bajo la luz de la luna",
        "leyendo un libro en la biblioteca",
        "tomando té con sus amigas",
        "corriendo por la calle",
        "sobre un fondo blanco",
        "mirando por la ventana",
        "en lo alto de una torre",
        "con luz suave y colores cálidos",
    ),
)


SPANISH_STYLED = ("{}, estilo {}", "{} al estilo de {}", "{} con estilo {}")


SPANISH_SCENES = (
    "una chica con el pelo largo",
    "un gato en la ventana",
    "un castillo en la montaña",
    "una calle mojada",
    "un caballero con armadura",
    "una anciana vendiendo fruta",
    "un barco en el mar",
    "dos niños jugando en el parque",
)


QUALITY = (
    "masterpiece, best quality",
    "(masterpiece:1.2), best quality, highres",
    "best quality, ultra-detailed",
    "score_9, score_8_up, score_7_up",
    "masterpiece, absurdres",
    "",
)

TOGETHER = ("share a meal by the fire", "argue on a rooftop", "wait behind a stone wall", "walk through the rain")
"""Acts of two people."""

MENTIONED = (
    *("A woman wearing {} {}", "A man with {} {}", "A dancer who wears {}", "{1}, and beside it {0}", "{1} with {0}"),
    *(
        "He is wearing {} {}",
        "An old man holds {} {}",
        "{1} next to {0}",
        "Nothing to be seen but {}",
        "{1} except for {0}",
    ),
    *("A portrait of a sailor in {}", "{1}, add {0}", "{1}, {0} in the background", "I want {} in it: {}"),
)
"""Sentences that mention a thing, and what else is there."""
