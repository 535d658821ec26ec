"""Omniglot (Lake et al. 2015): find it, check it, pack it into one file, load that file."""

import hashlib
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from data.drawings import Drawings
from data.errors import DataError
from data.files import state_of, write_whole
from data.sets import packed_folder
from data.sources.archive import Files, open_files
from data.sources.png import SIDE, read_drawing

PARTS = {"images_background": (30, 964), "images_evaluation": (20, 659)}
"""Alphabets and characters of each of the two official parts."""
DRAWERS = 20
PACKED_FORMAT = "hpo-omniglot-1"
OFFICIAL_FINGERPRINT = "omniglot-37eab6f6eef6882e"
"""What `Drawings.fingerprint` is for the official images."""


@dataclass(frozen=True)
class Source:
    """The two official parts, each a zip or an extracted folder."""

    parts: tuple[Path, Path]

    def stamp(self) -> str:
        """A digest that changes when a file of the source is replaced."""
        digest = hashlib.sha256(PACKED_FORMAT.encode())
        for part in self.parts:
            files = sorted(part.rglob("*.png")) if part.is_dir() else [part]
            for file in files:
                digest.update(state_of(file, str(file)))
        return digest.hexdigest()


def find(folder: Path) -> Source | None:
    """Look for both parts in ``folder``: the zips, them extracted, or torchvision's layout.

    Raises:
        DataError: only one of the two parts is there, or the folder cannot be read.
    """
    for place in (folder, folder / "omniglot-py"):
        try:
            found = {part: _part(place, part) for part in PARTS}
        except OSError as error:
            raise DataError(
                f"{place} cannot be read ({error.strerror}): make it readable, or name another "
                "folder with --data or HPO_DATA"
            ) from error
        present = [path for path in found.values() if path]
        if len(present) == len(PARTS):
            return Source((present[0], present[1]))
        if present:
            (absent,) = (part for part, path in found.items() if not path)
            raise DataError(
                f"{place} holds {present[0].name} but not {absent}.zip: put it there, or run "
                f"`hpo data download --data {folder}`"
            )
    return None


def _part(place: Path, part: str) -> Path | None:
    candidates = (place / part, place / f"{part}.zip")
    return next((c for c in candidates if c.is_dir() or c.is_file()), None)


def load(folder: Path) -> Drawings:
    """Load Omniglot from ``folder``, from the packed file where there is a good one.

    The first load reads and checks all 32,460 images and packs them; a packed file that is
    broken, foreign, or older than its source is made again.

    Raises:
        DataError: not there, incomplete or broken, or the packed file cannot be written.
    """
    source = find(folder)
    if source is None:
        raise DataError(
            f"Omniglot is not in {folder}: put images_background.zip and images_evaluation.zip "
            "there, name their folder with --data or HPO_DATA, or run `hpo data download`"
        )
    try:
        stamp = source.stamp()
        packed = packed_folder() / f"omniglot-{stamp[:16]}.safetensors"
        drawings = _load_packed(packed, stamp)
        if drawings is None:
            _write_packed(packed, *_read(source), stamp)
            drawings = _load_packed(packed, stamp)
    except OSError as error:
        raise DataError(f"{error.filename or folder} cannot be read: {error.strerror}") from error
    if drawings is None:
        raise DataError(f"{packed} is broken just after it was written: check that disk")
    return drawings


def _read(source: Source) -> tuple[NDArray[np.uint8], list[str], list[int]]:
    """Read and check both parts: bits (C, 20, 1379), alphabets, each character's alphabet."""
    blocks: list[NDArray[np.uint8]] = []
    alphabets: list[str] = []
    alphabet_of: list[int] = []
    for path, (part, (alphabet_count, character_count)) in zip(
        source.parts, PARTS.items(), strict=True
    ):
        with open_files(path) as files:
            characters = _characters(files, part, path)
            named = sorted({alphabet for alphabet, _ in characters})
            if (len(named), len(characters)) != (alphabet_count, character_count):
                raise DataError(
                    f"{path} holds {len(named)} alphabets and {len(characters)} characters where "
                    f"Omniglot has {alphabet_count} and {character_count}: "
                    "restore it, or fetch it again with `hpo data download`"
                )
            for (alphabet, _), drawn in characters.items():
                images = [read_drawing(files.read(n), f"{path}/{n}") for n in drawn]
                blocks.append(np.packbits(np.stack(images).reshape(DRAWERS, -1), axis=1))
                alphabet_of.append(len(alphabets) + named.index(alphabet))
        alphabets += named
    return np.stack(blocks), alphabets, alphabet_of


def _characters(files: Files, part: str, path: Path) -> dict[tuple[str, str], list[str]]:
    """The 20 image names of each (alphabet, character), in the order of the drawers."""
    layout = re.compile(rf"^(?:{part}/)?([^/]+)/(character\d+)/\d+_(\d\d)\.png$")
    found: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for name in files.names:
        if match := layout.match(name):
            found[match[1], match[2]][int(match[3])] = name
    for (alphabet, character), drawn in found.items():
        absent = [d for d in range(1, DRAWERS + 1) if d not in drawn]
        if absent or len(drawn) != DRAWERS:
            detail = f"drawer {absent[0]:02d} is missing" if absent else f"{len(drawn)} drawings"
            raise DataError(
                f"{path}: {alphabet}/{character} is not {DRAWERS} drawings ({detail}): "
                "restore it, or fetch it again with `hpo data download`"
            )
    return {key: [found[key][d] for d in range(1, DRAWERS + 1)] for key in sorted(found)}


def _write_packed(
    packed: Path, bits: NDArray[np.uint8], alphabets: list[str], alphabet_of: list[int], stamp: str
) -> None:
    numbers = np.array(alphabet_of, dtype=np.int64)
    metadata = {
        "format": PACKED_FORMAT,
        "stamp": stamp,
        "alphabets": json.dumps(alphabets),
        "fingerprint": _fingerprint(bits, alphabets, numbers),
    }
    try:
        write_whole(packed, save({"bits": bits, "alphabet_of": numbers}, metadata))
    except OSError as error:
        raise DataError(
            f"the packed data cannot be written to {packed.parent} ({error.strerror}): free 50 MB "
            "there, or name another folder with HPO_CACHE"
        ) from error


def _fingerprint(
    bits: NDArray[np.uint8], alphabets: list[str], alphabet_of: NDArray[np.int64]
) -> str:
    digest = hashlib.sha256(json.dumps(alphabets).encode())
    digest.update(alphabet_of.tobytes())
    digest.update(np.ascontiguousarray(bits).tobytes())
    return f"omniglot-{digest.hexdigest()[:16]}"


def _load_packed(packed: Path, stamp: str) -> Drawings | None:
    """The data set of a packed file, or None where it is absent, broken or foreign."""
    try:
        with safe_open(packed, framework="numpy") as file:
            metadata = file.metadata() or {}
            bits, alphabet_of = file.get_tensor("bits"), file.get_tensor("alphabet_of")
        alphabets = json.loads(metadata["alphabets"])
    except (FileNotFoundError, SafetensorError, KeyError, ValueError):
        return None
    if (metadata.get("format"), metadata.get("stamp")) != (PACKED_FORMAT, stamp):
        return None
    fingerprint = _fingerprint(bits, alphabets, alphabet_of)
    if fingerprint != metadata.get("fingerprint"):
        return None
    ink = np.unpackbits(bits, axis=2, count=SIDE * SIDE)
    np.multiply(ink, 255, out=ink)
    return Drawings(
        name="omniglot",
        fingerprint=fingerprint,
        alphabets=tuple(alphabets),
        alphabet_of=torch.from_numpy(alphabet_of),
        drawers=tuple(range(1, DRAWERS + 1)),
        count_of=torch.full((len(alphabet_of),), DRAWERS),
        images=torch.from_numpy(ink).view(-1, 1, SIDE, SIDE),
    )
