"""Draw a folder of images to practise on: ``python draw_glyphs.py FOLDER [--colour]``.

A class is a character, and an image of it is a glyph of a random font of this machine, with a
random slant, turn, size and place; with ``--colour``, in a random ink on a random paper.
FOLDER-new has characters that FOLDER has not: one image of each in ``support``, three in
``queries``.
"""

import argparse
import colorsys
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SETS = {
    "latin": "ABDEFGHJKLMNQRTUVWXYZabdefghmnqrty23456789&@?%#",
    "greek": "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθλμξπστφψω",
    "cyrillic": "БДЖИЙЛЦЧШЩЪЫЭЮЯ",
    "armenian": "ԱԲԳԴԵԶԷԸԹԺԻԽԾԿՀՁՂՃՄՆՇՈՉՊՋՌՎՏՐՑՔ",
    "georgian": "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
}
"""Characters that do not look like another one here."""
NEW = "ß¥§¶Þøæ€"
"""Characters of which the folder has none: one image each to compare with, and some to classify."""
PLACES = ("/usr/share/fonts", "/Library/Fonts", "/System/Library/Fonts", "C:/Windows/Fonts")
SIDE = 96  # pixels of an image
MISSING = "\U0010fffe"  # no font has it


def fonts() -> Iterator[ImageFont.FreeTypeFont]:
    """The fonts of this machine that have the letters of all the sets."""
    places = [Path(place) for place in PLACES]
    for file in sorted(file for place in places for file in place.rglob("*.tt[fc]")):
        font = ImageFont.truetype(file, SIDE // 2)
        absent = bytes(font.getmask(MISSING))
        if all(
            bytes(font.getmask(c)) not in (absent, b"") for s in (*SETS.values(), NEW) for c in s
        ):
            yield font


def draw(character: str, font: ImageFont.FreeTypeFont, colour: bool) -> Image.Image:
    """One image of a character."""
    glyph = Image.new("L", (SIDE, SIDE), 0)
    ImageDraw.Draw(glyph).text((SIDE / 2, SIDE / 2), character, 255, font, anchor="mm")
    slant, size = random.uniform(-0.3, 0.3), random.uniform(0.6, 1.1)
    x, y = (random.uniform(-0.12, 0.12) * SIDE for _ in range(2))
    centre = SIDE / 2
    across = (size, size * slant, centre - size * (1 + slant) * centre + x)
    down = (0, size, centre - size * centre + y)
    glyph = glyph.transform(
        glyph.size, Image.Transform.AFFINE, across + down, Image.Resampling.BICUBIC
    )
    glyph = glyph.rotate(random.uniform(-12, 12), Image.Resampling.BICUBIC)
    if not colour:
        return Image.eval(glyph, lambda ink: 255 - ink)
    tones, hue = [0.35, 0.95], random.random()
    random.shuffle(tones)
    paper, ink = (
        tuple(round(255 * part) for part in colorsys.hsv_to_rgb(h, random.uniform(0.2, 0.9), tone))
        for h, tone in zip((hue, hue + random.uniform(0.25, 0.75)), tones, strict=True)
    )
    image = Image.new("RGB", glyph.size, paper)
    image.paste(ink, mask=glyph)
    return image


def main() -> None:
    """Draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--colour", action="store_true")
    parser.add_argument("--images", type=int, default=12, help="of each class")
    chosen = parser.parse_args()
    random.seed(0)
    known = list(fonts())
    if not known:
        sys.exit("no font here has all the letters: install DejaVu, such as fonts-dejavu-core")

    def save(character: str, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        draw(character, random.choice(known), chosen.colour).save(file)

    for script, characters in SETS.items():
        for character in characters:
            for number in range(chosen.images):
                save(character, chosen.folder / f"{script} U+{ord(character):04X}/{number:02}.png")
    new = chosen.folder.with_name(f"{chosen.folder.name}-new")
    for character in NEW:
        name = f"U+{ord(character):04X}"
        save(character, new / f"support/{name}.png")
        for number in range(1, 4):
            save(character, new / f"queries/{name}-{number}.png")
    print(f"{sum(map(len, SETS.values()))} classes of {chosen.images} images in {chosen.folder}")


if __name__ == "__main__":
    main()
