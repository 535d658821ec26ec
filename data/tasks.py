"""One-shot tasks: fixed, seeded, within one alphabet; and the official Omniglot runs."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from data.chance import seeded
from data.drawings import Drawings, resized
from data.errors import DataError
from data.sets import WAY
from data.sources.archive import Files, open_files
from data.sources.png import read_drawing


@dataclass(frozen=True)
class OneShotTasks:
    """Draws of tasks; every query of a draw is a task over that draw's support set.

    Attributes:
        support: (R, W·M, K, S, S) uint8, M images of each of the W characters of a draw: image
            ``w * M + m`` is the m-th of character w. K channels, as in `Drawings`.
        queries: (R, Q, K, S, S) uint8.
        target: (R, Q) int64, the place of the query's character, from 0 to W - 1.
        source: where the tasks come from, in words; two sources are never comparable.
        shots: M, one unless it is said.
        drawn_from: the fingerprint of the drawings they were drawn from; None for files of tasks.
    """

    support: Tensor
    queries: Tensor
    target: Tensor
    source: str
    shots: int = 1
    drawn_from: str | None = None

    @property
    def way(self) -> int:
        """Characters of a support set, W."""
        return self.support.shape[1] // self.shots

    def __len__(self) -> int:
        return self.target.numel()

    def to(self, device: torch.device) -> OneShotTasks:
        """The same tasks with their tensors on ``device``."""
        return replace(
            self,
            support=self.support.to(device),
            queries=self.queries.to(device),
            target=self.target.to(device),
        )

    def resized(self, side: int) -> OneShotTasks:
        """The same tasks at another image size."""
        return replace(
            self, support=resized(self.support, side), queries=resized(self.queries, side)
        )


def draw_tasks(
    drawings: Drawings,
    count: int,
    seed: int,
    way: int = WAY,
    shots: int = 1,
    askers: int = 0,
) -> OneShotTasks:
    """Draw ``count`` tasks at random: each draw has one alphabet and ``way`` of its characters.

    Each of the characters is asked for once, so that a draw gives ``way`` tasks. The alphabets
    take turns in random order; one with too few characters is never drawn. Where the drawers are
    known, one drawer's images are the support set and another's the queries (Koch et al. 2015,
    §4.3); with several shots the support set has the images of as many drawers, never the
    queries' own. Elsewhere each character's images are taken at random. The queries are the same
    for every number of shots that leaves the same characters, and the support set of fewer shots is
    part of that of more.

    Args:
        drawings: the characters to draw from.
        count: how many tasks, a multiple of ``way``.
        seed: equal seeds give equal tasks.
        way: characters in a support set.
        shots: images of each character in a support set.
        askers: this many of the drawers, the first, draw the queries and the support set's first
            image; the others only fill it up, in their order. All of them, if it is not said.

    Raises:
        DataError: no alphabet is large enough, ``count`` is no multiple of ``way``, or there
            are no more images of a character than shots.
    """
    usable = drawings.count_of > shots
    if shots < 1 or not usable.any():
        most = int(drawings.count_of.max()) - 1
        raise DataError(
            f"{shots}-shot tasks cannot be drawn where a character has {most + 1} images, one of "
            f"which is the query: take 1 to {most} shots"
        )
    sizes = torch.bincount(drawings.alphabet_of[usable], minlength=len(drawings.alphabets))
    eligible = (sizes >= way).nonzero().flatten()
    if not len(eligible):
        raise DataError(
            f"no alphabet of {drawings.name} has {way} characters of {shots + 1} images, so it "
            f"gives no {way}-way task: the largest has {int(sizes.max())}"
        )
    if count <= 0 or count % way:
        raise DataError(f"{count} tasks cannot be drawn {way} at a time: take a multiple of {way}")
    generator = seeded(seed)
    draws = count // way
    turns: list[int] = []
    while len(turns) < draws:
        turns += eligible[torch.randperm(len(eligible), generator=generator)].tolist()
    support, queries, target = [], [], []
    for alphabet in turns[:draws]:
        members = (usable & (drawings.alphabet_of == alphabet)).nonzero().flatten()
        chosen = members[torch.randperm(len(members), generator=generator)[:way]]
        picked = _images_of(drawings, chosen, askers, generator)  # the first one is the query's
        order = torch.randperm(way, generator=generator)
        places = drawings.first_of[chosen].unsqueeze(1) + picked[:, : 1 + shots]
        support.append(drawings.images[places[:, 1:].flatten()])
        queries.append(drawings.images[places[order, 0]])
        target.append(order)
    kind = f"{way}-way" if shots == 1 else f"{way}-way {shots}-shot"
    if len(drawings.alphabets) > 1:
        kind += f" within one {'alphabet' if drawings.drawers else 'group'}"
    return OneShotTasks(
        support=torch.stack(support),
        queries=torch.stack(queries),
        target=torch.stack(target),
        source=f"{count} random draws, {kind}, seed {seed}",
        shots=shots,
        drawn_from=drawings.fingerprint,
    )


def _images_of(drawings: Drawings, chosen: Tensor, askers: int, generator: Generator) -> Tensor:
    """(W, M) which of its images each chosen character shows: the query's, then the support set's.

    M is the fewest images that one of the characters has.
    """
    if drawings.drawers:
        some = askers or len(drawings.drawers)
        one, other, *more = torch.randperm(some, generator=generator).tolist()
        shown = [other, one, *more, *range(some, len(drawings.drawers))]
        return torch.tensor(shown).expand(len(chosen), -1)
    counts = drawings.count_of[chosen].tolist()
    orders = [torch.randperm(count, generator=generator)[: min(counts)] for count in counts]
    return torch.stack(orders)


def find_official_runs(folder: Path) -> Path | None:
    """The official runs beside the data: ``all_runs.zip`` or the folder ``all_runs``, if there."""
    places = [folder / "all_runs.zip", folder / "all_runs"]
    return next((p for p in places if p.exists()), None)


def load_official_runs(path: Path) -> OneShotTasks:
    """Read runs in the official format from a folder or a zip.

    A run is ``runNN/class_labels.txt`` with a line "TEST-IMAGE TRAINING-IMAGE" for each task;
    every training image named in it belongs to the support set.

    Args:
        path: the folder or zip; the runs may be in a folder inside it.

    Raises:
        DataError: no runs, runs of unequal size, or a file that is missing or broken.
    """
    try:
        with open_files(path) as files:
            runs = [_read_run(files, labels) for labels in _label_files(files)]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} cannot be read as one-shot runs ({error}): "
            "give the folder or zip that holds run01, run02, …"
        ) from error
    if not runs:
        raise DataError(
            f"{path} holds no runNN/class_labels.txt: give the folder or zip with run01, run02, …"
        )
    shapes = {(len(support), len(queries)) for support, queries, _ in runs}
    if len(shapes) > 1:
        raise DataError(f"the runs of {path} differ in size: every run needs the same support set")
    support, queries, target = zip(*runs, strict=True)
    as_ink = [torch.from_numpy(np.stack(p)).unsqueeze(2).byte() * 255 for p in (support, queries)]
    tasks = torch.tensor(target)
    return OneShotTasks(
        support=as_ink[0],
        queries=as_ink[1],
        target=tasks,
        source=f"{tasks.numel()} tasks of {len(runs)} official-format runs",
    )


def _label_files(files: Files) -> list[str]:
    found = [n for n in files.names if re.search(r"(^|/)run\d+/class_labels\.txt$", n)]
    return sorted(n for n in found if not n.startswith("__MACOSX"))


def _read_run(files: Files, labels: str) -> tuple[np.ndarray, np.ndarray, list[int]]:
    run = labels.rpartition("/")[0]
    above = run.rpartition("/")[0]
    text = files.read(labels).decode(errors="replace")
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines or any(len(line) != 2 for line in lines):
        raise DataError(f"{labels} is not lines of «test-image training-image»: replace the file")
    classes = sorted({training for _, training in lines})

    def image(name: str) -> np.ndarray:
        inside = f"{above}/{name}" if above else name
        if inside not in files.names:
            raise DataError(f"{inside} is named in {labels} but missing: restore the file")
        return read_drawing(files.read(inside), inside)

    support = np.stack([image(name) for name in classes])
    queries = np.stack([image(test) for test, _ in lines])
    return support, queries, [classes.index(training) for _, training in lines]
