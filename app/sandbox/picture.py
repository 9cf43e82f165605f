"""Pictures of the sandbox: cards that show prompt, model and size."""

import colorsys
import functools
import hashlib
import io
import random
import zlib
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from app.sandbox.fonts import Font, typeface_for

LONG_SIDE_PX_MAX = 512
SHORT_SIDE_PX_MIN = 64
WORDS_SHOWN_MAX = 40
CHARACTERS_SHOWN_MAX = 220
WHOLE_WORD_CHARACTERS_MAX = 16
PNG_HEADER_BYTES = 33
"""Signature and IHDR of a PNG."""
_CLOSING = "，。、；：？！）》】」』”’…"

Color = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class PlaceholderContent:
    """Content of one picture. `index` counts from 0 within an answer of `of` pictures."""

    prompt: str
    model: str
    size: str
    output_format: str = "png"
    index: int = 0
    of: int = 1
    operation: str = "generation"


@functools.lru_cache(maxsize=128)
def draw(content: PlaceholderContent) -> bytes:
    """Return the encoded picture in the aspect of `content.size`, its longer side 512 px at most.

    Pictures are small on purpose; a real relay answers with the size asked for. The same content always gives the same
    bytes. Blocks for a few milliseconds: call it in a thread.
    """
    width, height = pixel_size(content.size)
    seed = hashlib.sha256(f"{content.prompt}\0{content.index}".encode(errors="replace")).digest()
    canvas = _backdrop(width, height, random.Random(seed))
    _write(canvas, content)
    return encode(canvas, content.output_format)


def pixel_size(size: str) -> tuple[int, int]:
    """Width and height in pixels for a size as the relay takes it: `1024x1536`, `16:9`, `auto` or nothing."""
    for sign in ("x", ":"):
        left, found, right = size.lower().partition(sign)
        if found and left.isdecimal() and right.isdecimal() and int(left) and int(right):
            return _fit(int(left), int(right))
    return LONG_SIDE_PX_MAX, LONG_SIDE_PX_MAX


def _fit(width: int, height: int) -> tuple[int, int]:
    longer = max(width, height)
    return (
        max(SHORT_SIDE_PX_MIN, round(width * LONG_SIDE_PX_MAX / longer)),
        max(SHORT_SIDE_PX_MIN, round(height * LONG_SIDE_PX_MAX / longer)),
    )


def encode(canvas: Image.Image, output_format: str) -> bytes:
    """Encode as `png`, `jpeg` or `webp`; anything else is PNG."""
    out = io.BytesIO()
    match output_format:
        case "jpeg":
            canvas.save(out, "JPEG", quality=88)
        case "webp":
            canvas.save(out, "WEBP", quality=88, method=2)
        case _:
            canvas.save(out, "PNG", compress_level=4)
    return out.getvalue()


def with_c2pa_chunk(png: bytes) -> bytes:
    """Return a PNG with a chunk `caBX` after its header, where a C2PA manifest lies. Re-encoding the picture would drop it."""
    content = b"caBX" + b"\0\0\0\x12jumbc2pa sandbox"
    chunk = (len(content) - 4).to_bytes(4) + content + zlib.crc32(content).to_bytes(4)
    return png[:PNG_HEADER_BYTES] + chunk + png[PNG_HEADER_BYTES:]


def _color(hue: float, lightness: float, saturation: float) -> Color:
    red, green, blue = colorsys.hls_to_rgb(hue % 1.0, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def _backdrop(width: int, height: int, dice: random.Random) -> Image.Image:
    """Draw a diagonal gradient of two neighbouring hues with soft lights and a set of fine rings."""
    hue = dice.uniform(0.48, 0.98)  # teal to red: greens and yellows glare under white letters
    deep, bright = _color(hue, 0.15, 0.62), _color(hue + dice.uniform(0.03, 0.09), 0.36, 0.60)
    # Nothing here has an edge, so a quarter of the size is enough and takes a sixteenth of the time.
    small = (max(16, width // 4), max(16, height // 4))
    colors = ImageOps.colorize(_diagonal(*small, dice.choice((0, 90))), deep, bright)
    for _ in range(3):
        glow = _color(hue + dice.uniform(-0.12, 0.12), 0.52, 0.72)
        colors.paste(glow, mask=_light(*small, dice))
    canvas = colors.resize((width, height), Image.Resampling.BICUBIC)
    canvas.paste((255, 255, 255), mask=_rings(width, height, dice))
    return canvas


def _diagonal(width: int, height: int, turn: int) -> Image.Image:
    ramp = Image.linear_gradient("L").rotate(turn)
    down = ramp.resize((width, height))
    across = ramp.rotate(90).resize((width, height))
    return Image.blend(down, across, 0.5)


def _light(width: int, height: int, dice: random.Random) -> Image.Image:
    mask = Image.new("L", (width, height))
    radius = dice.uniform(0.18, 0.34) * max(mask.size)
    x, y = dice.uniform(0.1, 1.0) * width, dice.uniform(0.0, 0.9) * height
    ImageDraw.Draw(mask).ellipse((x - radius, y - radius, x + radius, y + radius), fill=dice.randint(50, 84))
    return mask.filter(ImageFilter.GaussianBlur(radius * 0.42))


def _rings(width: int, height: int, dice: random.Random) -> Image.Image:
    """Draw concentric circles around one of the right corners, drawn at twice the size for smooth edges."""
    mask = Image.new("L", (width * 2, height * 2))
    pen = ImageDraw.Draw(mask)
    x, y = dice.uniform(0.82, 1.02) * mask.width, dice.choice((0.06, 0.94)) * mask.height
    step = min(mask.size) * dice.uniform(0.055, 0.075)
    for number in range(3, 12):
        radius = step * number
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=62 - number * 4, width=3)
    return mask.resize((width, height), Image.Resampling.BOX)


def _write(canvas: Image.Image, content: PlaceholderContent) -> None:
    margin = max(6, round(min(canvas.size) * 0.08))
    footer_px = max(8, min(15, round(canvas.width * 0.032), canvas.height // 6))
    pen = ImageDraw.Draw(canvas, "RGBA")
    floor = _footer(pen, canvas, content, margin, footer_px)
    ceiling = _badge(pen, content, margin, footer_px) if floor > 140 else margin
    _headline(pen, content.prompt, (margin, ceiling, canvas.width - margin, floor))


def _badge(pen: ImageDraw.ImageDraw, content: PlaceholderContent, margin: int, text_px: int) -> int:
    """Draw the badge at the top left. Return the height at which the free space below it begins."""
    font = ImageFont.load_default(text_px)
    label = badge_text(content)
    width, height, pad = pen.textlength(label, font), round(text_px * 1.75), round(text_px * 0.8)
    pill = (margin, margin, margin + pad * 2 + width, margin + height)
    pen.rounded_rectangle(pill, height / 2, fill=(0, 0, 0, 84), outline=(255, 255, 255, 70))
    pen.text((margin + pad, margin + height / 2), label, (255, 255, 255, 235), font, anchor="lm")
    return margin + height


def badge_text(content: PlaceholderContent) -> str:
    """Say that this is the sandbox, and that characters of the prompt are boxes because no font here has them."""
    words = "".join(shown_words(content.prompt))
    label = "sandbox" if content.operation == "generation" else f"sandbox {content.operation}"
    return f"{label}: no font for this text" if typeface_for(words).missing(words) else label


def _footer(
    pen: ImageDraw.ImageDraw, canvas: Image.Image, content: PlaceholderContent, margin: int, text_px: int
) -> int:
    """Draw model and size at the bottom, under a thin line. Return the height at which the free space above it ends."""
    font = ImageFont.load_default(text_px)
    baseline = canvas.height - margin
    line = baseline - round(text_px * 1.75)
    pen.line((margin, line, canvas.width - margin, line), fill=(255, 255, 255, 90))
    right = content.size or "auto"
    if content.of > 1:
        right = f"{right}  -  {content.index + 1}/{content.of}"
    pen.text((margin, baseline), content.model, (255, 255, 255, 240), font, anchor="ls")
    if pen.textlength(content.model + right, font) < canvas.width - 3 * margin:
        pen.text((canvas.width - margin, baseline), right, (255, 255, 255, 190), font, anchor="rs")
    return line - round(text_px * 0.6)


def _headline(pen: ImageDraw.ImageDraw, prompt: str, box: tuple[int, int, int, int]) -> None:
    """Draw the prompt's first words as large as they fit, at the bottom of the box."""
    left, top, right, bottom = box
    words = shown_words(prompt)
    typeface = typeface_for("".join(words))
    for text_px in (46, 40, 34, 29, 25, 21, 18, 15, 12, 10, 8):
        font = typeface.at(text_px)
        lines = wrap_words(words, font, right - left)
        leading = round(text_px * 1.22)
        whole = all(font.getlength(word) <= right - left for word in words if _stays_whole(word))
        if whole and len(lines) * leading <= (bottom - top) * 0.86:
            break
    lines = lines[: max(1, (bottom - top) // leading)]
    for number, line in enumerate(lines):
        foot = bottom - leading * (len(lines) - 1 - number) - leading // 3
        pen.text((left + 1, foot + 1), line, (0, 0, 0, 60), font, anchor="ls")
        pen.text((left, foot), line, (255, 255, 255, 255), font, anchor="ls")


def shown_words(prompt: str) -> list[str]:
    """Return the first words of a prompt, unprintable characters left out, with an ellipsis when there are more."""
    printable = "".join(sign if sign.isprintable() else " " for sign in prompt[: CHARACTERS_SHOWN_MAX + 1])
    words = printable[:CHARACTERS_SHOWN_MAX].split()
    if not words:
        return ["Untitled"]
    if len(printable) > CHARACTERS_SHOWN_MAX or len(words) > WORDS_SHOWN_MAX:
        return [*words[:WORDS_SHOWN_MAX], "..."]
    return words


def _stays_whole(word: str) -> bool:
    """Return whether a word must fit a line: Chinese may be cut between any two characters."""
    return len(word) <= WHOLE_WORD_CHARACTERS_MAX and not any("\u2e80" <= sign <= "\u9fff" for sign in word)


def wrap_words(words: list[str], font: Font, width: int) -> list[str]:
    """Break words into lines of at most `width` pixels."""
    lines = [""]
    for word in words:
        for piece in _pieces(word, font, width):
            longer = f"{lines[-1]} {piece}".strip()
            if font.getlength(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(piece)
    return [line for line in lines if line]


def _pieces(word: str, font: Font, width: int) -> list[str]:
    """Cut a word into pieces that fit the width: Chinese has no spaces to wrap at. No piece begins with closing punctuation."""
    pieces = [""]
    for sign in word:
        if pieces[-1] and font.getlength(pieces[-1] + sign) > width:
            carried = pieces[-1][-1] if sign in _CLOSING and len(pieces[-1]) > 1 else ""
            pieces[-1] = pieces[-1].removesuffix(carried)
            pieces.append(carried)
        pieces[-1] += sign
    return pieces
