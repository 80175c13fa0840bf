"""Does a snapshot show anything? A JPEG's bytes in, a judgement out; the picture is gone after it.

Pillow has libjpeg-turbo decode a fraction of the picture (its DCT gives 1/2, 1/4, 1/8 for free), in
grey: 4.6 ms for 1920 by 1080. A reader of our own would walk through every Huffman code in Python.
Pillow is MIT-CMU and its wheels hold no GPL codec.
"""

from __future__ import annotations

import hashlib
import io
from typing import NamedTuple

from PIL import Image, ImageFilter, ImageStat, UnidentifiedImageError

from collectors.camera.wire import Unfit

MAX_BYTES = 4 * 1024 * 1024
MAX_PIXELS = 40_000_000
"""More than any camera has; a small file can claim to unfold to gigabytes."""
WIDTH = 240
"""Pixels. So small that a sensor's noise and JPEG's blocks do not count as edges: 1920 wide, a blur
of 14 pixels and more is found, also under noise."""
DARK = 32
"""Of 255: what is darker shows nothing."""
LIT_SHARE = 0.005
"""A picture with fewer lit pixels is black; a lamp at night is more."""
FLAT = 4.0
"""Standard deviation under which there is nothing to see: a covered lens, a white-out."""
BLURRED = 0.1
"""Sharpness of what is out of focus; drawn scenes with edges had 0.36 to 0.59, blurred by 16 pixels
0.09. A camera that looks at fog or water may need less."""

_EDGES = ImageFilter.Kernel((3, 3), (0, 1, 0, 1, -4, 1, 0, 1, 0), scale=1, offset=128)


class Look(NamedTuple):
    """What was seen."""

    brightness: float
    """Mean, 0 to 255."""
    sharpness: float
    """Standard deviation of the Laplacian by that of the picture; 0 when it is flat."""
    black: bool
    blurred: bool
    """Out of focus, fogged or covered; never said of a black one."""
    fingerprint: bytes
    """The same for the same picture alone: two pictures of a sensor differ by their noise."""


def look(jpeg: bytes, blurred_below: float = BLURRED) -> Look:
    """Raises `Unfit` when that is no picture."""
    if not jpeg.startswith(b"\xff\xd8"):
        raise Unfit("garbage: the picture is no JPEG")
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Unfit(f"a picture of {width} by {height} pixels")
            image.draft("L", (WIDTH, max(1, WIDTH * height // width)))
            grey = image.convert("L")
    except Image.DecompressionBombError:
        raise Unfit("a picture that claims to be huge") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise Unfit(f"garbage: the picture can't be read: {str(error)[:80]}") from None
    return _judge(grey, blurred_below)


def _judge(grey: Image.Image, blurred_below: float) -> Look:
    counts = grey.histogram()
    lit = sum(counts[DARK:]) / sum(counts)
    tones = ImageStat.Stat(grey)
    brightness, contrast = tones.mean[0], tones.stddev[0]
    sharpness = 0.0
    if contrast >= FLAT and min(grey.size) > 2:
        # The filter leaves the border as it is, which would count as edges.
        inside = (1, 1, grey.width - 1, grey.height - 1)
        edges = ImageStat.Stat(grey.filter(_EDGES).crop(inside))
        sharpness = edges.stddev[0] / contrast
    black = lit < LIT_SHARE
    digest = hashlib.blake2b(grey.tobytes(), digest_size=16).digest()
    return Look(brightness, sharpness, black, not black and sharpness < blurred_below, digest)
