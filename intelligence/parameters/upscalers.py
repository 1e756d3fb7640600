"""Upscale models: the kinds of picture that they were trained on, known by name, and the choice among a library's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import PurePath
from typing import NamedTuple

from ..prompt import ArtisticStyle
from .parameters import LATENT_UPSCALER
from .profiles import STYLE_LOOKS


class Pictures(StrEnum):
    """Kinds of picture that an upscale model was trained on."""

    ANIME = "anime"
    PHOTO = "photo"
    ANY = "any"


class KnownUpscaler(NamedTuple):
    """A published upscale model, or a series of them."""

    name: re.Pattern[str]
    """Found in the file's name, in lower case without marks between its words."""
    pictures: Pictures
    source: str
    """Tag of its models on OpenModelDB."""


def _known(name: str, pictures: Pictures, source: str) -> KnownUpscaler:
    return KnownUpscaler(re.compile(name), pictures, source)


KNOWN = (
    _known(
        r"anime|apisr|futsuu|waifu|hfa2|sudo(?! rife)|ani ?(sd|scale|4 ?v?k)|yandere|janai", Pictures.ANIME, "tag anime"
    ),
    _known(r"nmkd ?(superscale|siax)|lsdir|ssdir|realwebphoto|purephoto|nomos(?! ?uni)", Pictures.PHOTO, "tag photo"),
    _known(
        r"ultrasharp|remacri|nomos ?uni|clearreality|r(eal)? ?esr(gan| general)|bsrgan|realsr|swinir|uniscale"
        r"|universal ?upscaler",
        Pictures.ANY,
        "tag general-upscaler",
    ),
)
"""The first that fits counts. Models that none names are never chosen unasked: there are those for text, for JPEG's
blocks and for game textures. Of OpenModelDB's 513 models for enlarging [2026-08-14] these name 159, all by a tag that
they have there."""

LEFT_OUT = re.compile(r"pretrain|multi ?jpg|otf medium|lexica|photoanime|siax cx|cartoonrestore|uniscale restore")
"""Models of these series for another purpose: a start for training, the repair of JPEG's blocks."""


def pictures_of(file: str) -> Pictures | None:
    """Return the kind of picture that the upscale model in `file` was trained on; None: not known."""
    name = re.sub(r"[^a-z0-9]+", " ", PurePath(file.replace("\\", "/")).stem.lower())
    if LEFT_OUT.search(name):
        return None
    return next((row.pictures for row in KNOWN if row.name.search(name)), None)


def choose_upscaler(files: Sequence[str], style: ArtisticStyle | None) -> str:
    """Return the upscale model among `files` for a picture of this style, or `latent` where none is known to fit.

    One that was trained on such pictures comes first, then one for any; of equals the first by name. A picture of
    unknown style takes one for any, then one for photographs.
    """
    look = STYLE_LOOKS.get(style, "") if style else ""
    wanted = {
        "anime": (Pictures.ANIME, Pictures.ANY),
        "photo": (Pictures.PHOTO, Pictures.ANY),
    }.get(look, (Pictures.ANY, Pictures.PHOTO))
    known = [(wanted.index(kind), file) for file in files if (kind := pictures_of(file)) in wanted]
    return min(known)[1] if known else LATENT_UPSCALER
