"""A folder of one's own images: a subfolder for each class, in groups or not."""

import contextlib
import hashlib
import json
import os
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
from data.sources.photo import SUFFIXES, read_photo

PARTS = ("train", "validation", "evaluation")
"""Folders that split the classes, where all three are there and nothing else."""
FEWEST = 2
"""Images of a class: a query and one to compare it with."""
FORMAT = "hpo-folder-1"
UNSEEN = ("Thumbs.db", "desktop.ini", "__MACOSX")  # what systems leave in folders


@dataclass(frozen=True)
class Folder:
    """The images of a folder.

    Attributes:
        root: the folder.
        classes: images by group and class; the group is "" where there are no groups.
        passed_over: files that are no images by their names.
    """

    root: Path
    classes: dict[tuple[str, str], list[Path]]
    passed_over: tuple[Path, ...]

    @property
    def images(self) -> list[Path]:
        """All of them, class by class."""
        return [path for images in self.classes.values() for path in images]

    def names(self) -> Iterator[str]:
        """Group, class and file of every image, alike on every system."""
        for path in self.images:
            yield unicodedata.normalize("NFC", path.relative_to(self.root).as_posix())


def visible(folder: Path) -> list[Path]:
    """What is in a folder, in order, but for hidden files and what systems leave there.

    Raises:
        DataError: it cannot be read.
    """
    try:
        found = [p for p in folder.iterdir() if p.name[0] != "." and p.name not in UNSEEN]
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}): see to it") from error
    return sorted(found, key=lambda p: unicodedata.normalize("NFC", p.name))


def is_image(path: Path) -> bool:
    """Whether a file is an image by its name."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def find(root: Path) -> Folder:
    """The images of a folder that holds ``CLASS/IMAGE``, ``GROUP/CLASS/IMAGE``, or such in `PARTS`.

    A class is a folder with images in it, and a group one with classes. A group plays the
    alphabet: pairs and tasks are made within it. With parts, their names come first in those of the
    groups.

    Raises:
        DataError: there is no such folder, or it holds something else.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}: name the one with the images")
    entries = visible(root)
    in_parts = sorted(p.name for p in entries if p.is_dir()) == sorted(PARTS)
    classes: dict[tuple[str, str], list[Path]] = {}
    passed_over: list[Path] = []
    for place in [root / part for part in PARTS] if in_parts else [root]:
        prefix = f"{place.name}/" if in_parts else ""
        for name, folder in _classes(place, passed_over):
            inside = visible(folder)
            images = [path for path in inside if is_image(path)]
            passed_over += [path for path in inside if not is_image(path)]
            if len(images) < FEWEST:
                raise DataError(
                    f"the class {folder} has {len(images)} image{'s' * (len(images) != 1)} where "
                    f"{FEWEST} are needed: add some, or remove the folder"
                )
            classes[f"{prefix}{name}", folder.name] = images
    if not classes:
        raise DataError(f"{root} holds no images: give it a subfolder of images for each class")
    return Folder(root, classes, tuple(passed_over))


def _classes(place: Path, passed_over: list[Path]) -> Iterator[tuple[str, Path]]:
    """The class folders of a place, with the names of their groups."""
    entries = visible(place)
    if loose := [path for path in entries if is_image(path)]:
        raise DataError(f"{loose[0]} is in no class: give each class a folder of its own")
    passed_over += [path for path in entries if not path.is_dir()]
    for entry in filter(Path.is_dir, entries):
        inside = visible(entry)
        within = [path for path in inside if path.is_dir()]
        if not within:
            yield "", entry
            continue
        if loose := [path for path in inside if is_image(path)]:
            raise DataError(
                f"{entry} holds both images and folders: make it a class, of images, or a group, "
                "of classes"
            )
        passed_over += [path for path in inside if not path.is_dir()]
        yield from ((entry.name, folder) for folder in within)


def load(root: Path, side: int, channels: int, cache: Path) -> Drawings:
    """Load the images at one size, from ``cache`` where they were read before.

    Args:
        root: the folder, as `find` takes it.
        side: height and width that are wanted, in pixels.
        channels: 1 for drawings, 3 for colours, as `read_photo` has them.
        cache: where they are kept once they are read, if that can be written.

    Raises:
        DataError: as `find` does, or images that cannot be read.
    """
    folder = find(root)
    packed = cache / f"folder-{_stamp(folder)}-{side}x{channels}.safetensors"
    kept = _load_packed(packed)
    if kept is None:
        images, fingerprint = _read(folder, side, channels), _fingerprint(folder)
        metadata = {"format": FORMAT, "fingerprint": fingerprint}
        with contextlib.suppress(OSError):  # they are then read again the next time
            write_whole(packed, save({"images": images}, metadata))
    else:
        images, fingerprint = kept
    groups = sorted({group for group, _ in folder.classes})
    return Drawings(
        name=root.name,
        fingerprint=fingerprint,
        alphabets=tuple(groups),
        alphabet_of=torch.tensor([groups.index(group) for group, _ in folder.classes]),
        drawers=(),
        count_of=torch.tensor([len(images) for images in folder.classes.values()]),
        images=torch.from_numpy(images),
    )


def _stamp(folder: Folder) -> str:
    """A digest that changes when a file is replaced, and not when the folder moves."""
    digest = hashlib.sha256(FORMAT.encode())
    for name, path in zip(folder.names(), folder.images, strict=True):
        digest.update(state_of(path, name))
    return digest.hexdigest()[:16]


def _fingerprint(folder: Folder) -> str:
    """A digest of the names and the contents of all files."""
    digest = hashlib.sha256(json.dumps(list(folder.names())).encode())
    for path in folder.images:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"folder-{digest.hexdigest()[:16]}"


def _read(folder: Folder, side: int, channels: int) -> NDArray[np.uint8]:
    """(N, channels, side, side)."""

    def read(path: Path) -> NDArray[np.uint8] | DataError:
        try:
            return read_photo(path, side, channels).numpy()
        except DataError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(read, folder.images))
    broken = [one for one in found if isinstance(one, DataError)]
    if broken:
        more = len(broken) - 1
        others = f" (and {more} more image{'s' * (more > 1)} cannot be used)" if more else ""
        raise DataError(f"{broken[0]}{others}")
    return np.stack([one for one in found if not isinstance(one, DataError)])


def _load_packed(packed: Path) -> tuple[NDArray[np.uint8], str] | None:
    """Images and fingerprint of a packed file, or None where it is absent, broken or foreign."""
    try:
        with safe_open(packed, framework="numpy") as file:
            metadata = file.metadata() or {}
            images = file.get_tensor("images")
        return (images, metadata["fingerprint"]) if metadata.get("format") == FORMAT else None
    except (OSError, SafetensorError, KeyError):
        return None
