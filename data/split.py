"""Which alphabets and drawers train, validate and evaluate."""

from __future__ import annotations

from dataclasses import dataclass

from data.drawings import Drawings

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
    """Three sets of drawings that share neither an alphabet nor, inside one, a drawer."""

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


def split(drawings: Drawings) -> Split:
    """Cut a data set as Koch et al. 2015, §4.1 do: 30 / 10 / 10 alphabets, 12 / 4 / 4 drawers.

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
        train=drawings.select(train, TRAIN_DRAWERS),
        validation=drawings.select(validation, VALIDATION_DRAWERS),
        evaluation=drawings.select(evaluation, EVALUATION_DRAWERS),
    )
