"""Zips with Omniglot's layout and alphabets, but few characters, all drawn as bars."""

import io
import zipfile
from pathlib import Path

from PIL import Image

from data.sources.omniglot import DRAWERS
from data.split import EVALUATION_ALPHABETS, VALIDATION_ALPHABETS

PARTS = {"images_background": (30, 60), "images_evaluation": (20, 40)}
"""What `data.omniglot.PARTS` has to be, to read them: a tenth of the real thing."""


def png(side: int = 105, bar: int = 10) -> bytes:
    """A 1-bit image with a bar of ink, ``bar`` pixels long, in its first row."""
    image = Image.new("1", (side, side), 1)
    for x in range(bar):
        image.putpixel((x, 0), 0)
    content = io.BytesIO()
    image.save(content, format="PNG")
    return content.getvalue()


def image_names(part: str) -> list[str]:
    """Every image of a part, alphabet after alphabet."""
    alphabets, characters = PARTS[part]
    names = (
        [f"Alphabet_{i:02d}" for i in range(alphabets)]
        if part == "images_background"
        else sorted([*VALIDATION_ALPHABETS, *EVALUATION_ALPHABETS])
    )
    found = []
    for number in range(characters):
        alphabet, place = names[number % alphabets], number // alphabets + 1
        found += [
            f"{part}/{alphabet}/character{place:02d}/{number + 1:04d}_{d:02d}.png"
            for d in range(1, DRAWERS + 1)
        ]
    return found


def write_fake(folder: Path, extracted: bool = False) -> Path:
    """Both parts in ``folder``; an image has a bar as long as its drawer's number."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {d: png(bar=d) for d in range(1, DRAWERS + 1)}
    for part in PARTS:
        with zipfile.ZipFile(folder / f"{part}.zip", "w") as archive:
            for name in image_names(part):
                archive.writestr(name, drawn[int(name[-6:-4])])
            if extracted:
                archive.extractall(folder)
        if extracted:
            (folder / f"{part}.zip").unlink()
    return folder


def rewrite(
    archive: Path, changes: dict[str, bytes | None], packing: int = zipfile.ZIP_STORED
) -> None:
    """Replace files of a zip, or drop those that are None."""
    with zipfile.ZipFile(archive) as old:
        kept = {name: old.read(name) for name in old.namelist()}
    kept.update({name: content for name, content in changes.items() if content is not None})
    with zipfile.ZipFile(archive, "w", packing) as new:
        for name, content in kept.items():
            if name not in changes or changes[name] is not None:
                new.writestr(name, content)
