"""Which alphabets, drawers and classes train, validate and evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from data.chance import seeded
from data.drawings import Drawings
from data.errors import DataError
from data.sources.folder import PARTS

FEWEST = 2
"""Classes of a group that train: there is no pair of different ones with fewer."""

TRAIN_DRAWERS = tuple(range(9, 21))
VALIDATION_DRAWERS = tuple(range(5, 9))
EVALUATION_DRAWERS = tuple(range(1, 5))

VALIDATION_ALPHABETS = (
    "Angelic",
    "Atemayar_Qelisayer",
    "Aurek-Besh",
    "Avesta",
    "Keble",
    "Mongolian",
    "Oriya",
    "Sylheti",
    "Syriac_(Serto)",
    "ULOG",
)
EVALUATION_ALPHABETS = (
    "Atlantean",
    "Ge_ez",
    "Glagolitic",
    "Gurmukhi",
    "Kannada",
    "Malayalam",
    "Manipuri",
    "Old_Church_Slavonic_(Cyrillic)",
    "Tengwar",
    "Tibetan",
)


@dataclass(frozen=True)
class Split:
    """Three sets of images that have no character in common."""

    train: Drawings
    validation: Drawings
    evaluation: Drawings

    def resized(self, side: int) -> Split:
        """The same parts at another image size."""
        return Split(
            train=self.train.resized(side),
            validation=self.validation.resized(side),
            evaluation=self.evaluation.resized(side),
        )


def split(drawings: Drawings, all_drawers: bool = False) -> Split:
    """Cut a data set as Koch et al. 2015, §4.1 do: 30 / 10 / 10 alphabets, 12 / 4 / 4 drawers.

    With ``all_drawers`` the images of all 20 train. No alphabet is in two parts, and the first
    drawer of one is another person than the first of the next, so nothing that is held out is seen.

    Omniglot's ten validation and ten evaluation alphabets are named ones (the evaluation
    alphabets are those of the official one-shot runs). Another set names its alphabets
    ``validation-…`` and ``evaluation-…`` itself; the rest train.

    Raises:
        DataError: an alphabet or a drawer of the split is missing.
    """
    validation: tuple[str, ...]
    evaluation: tuple[str, ...]
    if drawings.name == "omniglot":
        validation, evaluation = VALIDATION_ALPHABETS, EVALUATION_ALPHABETS
    else:
        validation = tuple(a for a in drawings.alphabets if a.startswith("validation-"))
        evaluation = tuple(a for a in drawings.alphabets if a.startswith("evaluation-"))
    held_out = {*validation, *evaluation}
    train = tuple(a for a in drawings.alphabets if a not in held_out)
    return Split(
        train=drawings.select(train, drawings.drawers if all_drawers else TRAIN_DRAWERS),
        validation=drawings.select(validation, VALIDATION_DRAWERS),
        evaluation=drawings.select(evaluation, EVALUATION_DRAWERS),
    )


def split_classes(
    drawings: Drawings,
    validation: Sequence[str],
    evaluation: Sequence[str],
    held_out: float,
    fewest: int,
    seed: int,
) -> Split:
    """Cut a set of one's own images, so that no class is in two parts.

    The folders of a set that has them are its parts. Else the named groups validate and evaluate,
    and the rest train. Without names each group is cut: a share of its classes, drawn at random, to
    validate, as many to evaluate; a group that is too small for that trains.

    Args:
        drawings: from `data.sources.folder.load`.
        validation, evaluation: groups; both or none.
        held_out: the share of a group's classes that validates.
        fewest: classes that it is at least.
        seed: of the classes that are drawn; equal seeds draw equal ones.

    Raises:
        DataError: there is no such group, or no group is large enough.
    """
    named = [*validation, *evaluation]
    for absent in [name for name in named if name not in drawings.alphabets]:
        raise DataError(
            f"there is no group {absent} in {drawings.name}: name some of "
            f"{', '.join(drawings.alphabets)}"
        )
    parts = [name.partition("/")[0] for name in drawings.alphabets]
    if named:
        parts = [
            "validation" if name in validation else "evaluation" if name in evaluation else "train"
            for name in drawings.alphabets
        ]
    if named or ("/" in drawings.alphabets[0] and set(parts) == set(PARTS)):
        of_class = [parts[group] for group in drawings.alphabet_of.tolist()]
    else:
        of_class = _drawn(drawings, held_out, fewest, seed)
    cut = [
        drawings.characters(torch.tensor([i for i, p in enumerate(of_class) if p == part]).long())
        for part in PARTS
    ]
    for part, one in zip(PARTS, cut, strict=True):
        if not len(one.count_of):
            raise DataError(f"{drawings.name} has no class left for {part}: name fewer groups")
    return Split(*cut)


def _drawn(drawings: Drawings, held_out: float, fewest: int, seed: int) -> list[str]:
    """The part of every class, where chance cuts each group."""
    of_class, chance, largest = ["train"] * len(drawings.count_of), seeded(seed), 0
    for group in range(len(drawings.alphabets)):
        members = (drawings.alphabet_of == group).nonzero().flatten()
        largest = max(largest, len(members))
        share = max(fewest, round(held_out * len(members)))
        if len(members) < 2 * share + FEWEST:
            continue
        order = members[torch.randperm(len(members), generator=chance)].tolist()
        for number, character in enumerate(order[: 2 * share]):
            of_class[character] = PARTS[1 + number // share]
    if "validation" not in of_class:
        raise DataError(
            f"{drawings.name} has {largest} classes in its largest group, where {fewest}-way tasks "
            f"need {fewest} to validate, {fewest} to evaluate and {FEWEST} to train: add "
            "classes, or lower data.way"
        )
    return of_class
