"""Strokes: drawn alphabets that the program makes itself, at the shape of Omniglot.

A character is one to four smooth pen strokes. Every drawer has a slant, a scale, a turn, a
wobble and a pen of their own, and no two drawings of a character are alike. Nothing is
downloaded: this is the data of the demonstration and of the tests.
"""

import contextlib
import io
import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from data.drawings import Drawings
from data.files import write_whole
from data.sources.png import SIDE

ALPHABETS = {"train": 16, "validation": 5, "evaluation": 5}
CHARACTERS = 22
DRAWERS = 20
STROKES = 4  # of a character, at the most
KNOTS = 4  # control points of a stroke
POINTS = 96  # pen positions along a stroke
REACH = 2  # pixels to either side of its own that a pen of radius below 2.5 can colour
RECIPE = 1
"""Goes up with every change of what a seed draws."""

Floats = NDArray[np.float64]


def draw_strokes(seed: int) -> Drawings:
    """Draw the whole set; equal seeds give equal drawings.

    The fingerprint names the recipe and the seed, not the pixels: the last bit of a sine may
    differ from processor to processor and turn a pixel in a million.
    """
    chance = np.random.default_rng([seed, RECIPE])
    ink = np.stack([_draw_alphabet(chance) for _ in range(sum(ALPHABETS.values()))])
    return _as_drawings(seed, ink)


def load_strokes(seed: int, cache: Path) -> Drawings:
    """The set of `draw_strokes`, kept in ``cache`` once it is drawn, where that can be written."""
    kept = cache / f"strokes-{RECIPE}-{seed}.npz"
    images = sum(ALPHABETS.values()) * CHARACTERS * DRAWERS
    try:
        with np.load(kept, allow_pickle=False) as file:
            ink = np.unpackbits(file["bits"].reshape(images, -1), axis=-1, count=SIDE * SIDE)
        return _as_drawings(seed, np.multiply(ink, 255, out=ink))
    except (OSError, EOFError, KeyError, ValueError, BadZipFile, zlib.error):
        drawings = draw_strokes(seed)
        content = io.BytesIO()
        np.savez_compressed(content, bits=np.packbits(drawings.images.flatten(1).numpy(), axis=-1))
        with contextlib.suppress(OSError):
            write_whole(kept, content.getvalue())
        return drawings


def _as_drawings(seed: int, ink: NDArray[np.uint8]) -> Drawings:
    names = [f"{part}-{i:02d}" for part, count in ALPHABETS.items() for i in range(1, count + 1)]
    return Drawings(
        name="strokes",
        fingerprint=f"strokes-{RECIPE}-{seed}",
        alphabets=tuple(names),
        alphabet_of=torch.arange(len(names)).repeat_interleave(CHARACTERS),
        drawers=tuple(range(1, DRAWERS + 1)),
        count_of=torch.full((len(names) * CHARACTERS,), DRAWERS),
        images=torch.from_numpy(ink).view(-1, 1, SIDE, SIDE),
    )


def _draw_alphabet(chance: Generator) -> NDArray[np.uint8]:
    """(characters, drawers, S, S) ink of one alphabet."""
    knots, count = _characters(chance)
    shape = (CHARACTERS, DRAWERS)
    drawn = np.broadcast_to(knots[:, None], (*shape, STROKES, KNOTS, 2)).copy()

    wobble = chance.uniform(0.04, 0.10, (1, DRAWERS, 1, 1, 1))
    drawn += wobble * chance.standard_normal(drawn.shape)
    drawn += 0.5 * wobble * chance.standard_normal((*shape, STROKES, 1, 2))

    turn = chance.normal(0.0, 0.09, (1, DRAWERS)) + chance.normal(0.0, 0.05, shape)
    slant = chance.normal(0.0, 0.16, (1, DRAWERS)) + chance.normal(0.0, 0.05, shape)
    size = chance.uniform(0.75, 1.1, (1, DRAWERS, 2)) * chance.uniform(0.9, 1.1, (*shape, 2))
    cosine, sine = np.cos(turn), np.sin(turn)
    lean = np.stack([np.ones(shape), slant, np.zeros(shape), np.ones(shape)], -1)
    rotation = np.stack([cosine, -sine, sine, cosine], -1)
    maps = rotation.reshape(*shape, 2, 2) @ lean.reshape(*shape, 2, 2) * size[..., None, :]
    drawn = np.einsum("cdij,cdskj->cdski", maps, drawn)
    drawn += chance.normal(0.0, 0.09, (*shape, 1, 1, 2))

    pen = np.broadcast_to(chance.uniform(1.1, 2.2, (1, DRAWERS)), shape)
    path = SIDE / 2 + drawn * (SIDE * 0.36)
    images = _ink_paths(
        _smooth(path).reshape(-1, STROKES, POINTS, 2),
        np.repeat(count, DRAWERS),
        pen.reshape(-1),
    )
    return images.reshape(*shape, SIDE, SIDE)


def _characters(chance: Generator) -> tuple[Floats, NDArray[np.int64]]:
    """Knots (C, strokes, knots, 2) in [-1, 1], x then y, and how many strokes each has.

    An alphabet has a few strokes of its own that its characters share and vary, as real ones do.
    """
    parts = _random_strokes(chance, 8)
    count = chance.integers(1, STROKES + 1, CHARACTERS)
    chosen = parts[chance.integers(len(parts), size=(CHARACTERS, STROKES))]
    fresh = _random_strokes(chance, CHARACTERS * STROKES).reshape(chosen.shape)
    shared = chance.random((CHARACTERS, STROKES, 1, 1)) < 0.5
    place = chance.uniform(-0.45, 0.45, (CHARACTERS, STROKES, 1, 2))
    return np.clip(np.where(shared, chosen, fresh) + place, -1.15, 1.15), count


def _random_strokes(chance: Generator, count: int) -> Floats:
    """(count, knots, 2): walks that keep their direction more or less."""
    heading = chance.uniform(0, 2 * np.pi, (count, 1))
    bend = chance.normal(0.0, 0.8, (count, 1)) + chance.normal(0.0, 0.6, (count, KNOTS - 1))
    heading = heading + np.cumsum(bend, axis=1)
    length = chance.uniform(0.3, 0.75, (count, KNOTS - 1))
    steps = np.stack([np.cos(heading), np.sin(heading)], -1) * length[..., None]
    walk = np.concatenate([np.zeros((count, 1, 2)), np.cumsum(steps, axis=1)], axis=1)
    centred: Floats = walk - walk.mean(axis=1, keepdims=True)
    return centred


def _smooth(knots: Floats) -> Floats:
    """Pen positions (…, POINTS, 2) along the uniform Catmull-Rom curve through the knots."""
    ends = [
        2 * knots[..., :1, :] - knots[..., 1:2, :],
        2 * knots[..., -1:, :] - knots[..., -2:-1, :],
    ]
    control = np.concatenate([ends[0], knots, ends[1]], axis=-2)
    at = np.linspace(0, KNOTS - 1, POINTS)
    segment = np.minimum(at.astype(int), KNOTS - 2)
    u = (at - segment)[:, None]
    p0, p1, p2, p3 = (control[..., segment + i, :] for i in range(4))
    curve: Floats = 0.5 * (
        2 * p1
        + (p2 - p0) * u
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * u**2
        + (3 * p1 - p0 - 3 * p2 + p3) * u**3
    )
    return curve


def _ink_paths(
    paths: Floats, count: NDArray[np.int64], pen: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Colour every pixel within the pen's radius of a position.

    Args:
        paths: (N, strokes, POINTS, 2) pixels, x then y.
        count: (N,) how many of the strokes are drawn.
        pen: (N,) radius in pixels.

    Returns:
        (N, S, S) uint8 ink.
    """
    ink = np.zeros((len(paths), SIDE, SIDE), dtype=np.uint8)
    image, stroke = np.nonzero(np.arange(STROKES) < count[:, None])
    points = paths[image, stroke]
    owner = np.broadcast_to(image[:, None], points.shape[:2])
    pixel = np.floor(points).astype(np.int64)
    for dx in range(-REACH, REACH + 1):
        for dy in range(-REACH, REACH + 1):
            x, y = pixel[..., 0] + dx, pixel[..., 1] + dy
            apart = (x + 0.5 - points[..., 0]) ** 2 + (y + 0.5 - points[..., 1]) ** 2
            hit = (apart <= pen[owner] ** 2) & (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)
            ink[owner[hit], y[hit], x[hit]] = 255
    return ink
