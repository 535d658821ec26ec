"""The measured cells of the verification table, kept in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from data.files import write_whole
from model.architecture import Frozen
from model.configuration import Configuration, first_problem
from model.history import Epoch

FORMAT: Final = "hpo-verification-1"


class VerificationError(Exception):
    """A table that cannot be measured or kept so. One sentence that says what to do."""


class Result(Frozen):
    """What was measured of one cell."""

    cell: str
    pairs: int
    """In the training set, before the distorted copies."""
    copies: int
    """Distorted ones of each pair."""
    accuracy: float
    """On pairs of the evaluation alphabets, in [0, 1]."""
    interval: tuple[float, float]
    """95 %, Wilson, as if no two pairs shared a drawing."""
    evaluation_pairs: int
    threshold: float
    """A larger logit means "same"."""
    validation_accuracy: float
    """On as many pairs of the validation alphabets, the ones that chose the threshold."""
    one_shot_error: float
    """On the validation tasks, the lowest of any epoch."""
    best_epoch: int
    epochs: tuple[Epoch, ...]
    seconds: float
    """Of training and validation."""
    configuration: dict[str, Any]
    device: str
    precision: str
    diverged: str | None = None
    """When, where the training ended by that; its best epoch before was measured."""


class _File(Frozen):
    """All results, by the fingerprint of their settings: other settings are other results."""

    format: Literal["hpo-verification-1"]
    results: dict[str, Result]


def fingerprint(configuration: Configuration, data_fingerprint: str, pairs: int, seed: int) -> str:
    """What tells a result from those of any other settings, in 16 hexadecimal digits.

    Args:
        configuration: that the network trains by.
        data_fingerprint: of the drawings.
        pairs: how many are scored.
        seed: of their draw.
    """
    whole = json.dumps([configuration.recipe_key, data_fingerprint, pairs, seed])
    return sha256(whole.encode()).hexdigest()[:16]


def read_results(path: Path) -> Mapping[str, Result]:
    """The results that are kept in a file, by their fingerprint; none where there is no file.

    Raises:
        VerificationError: it cannot be read, or is something else.
    """
    try:
        return _File.model_validate_json(path.read_bytes()).results
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise VerificationError(
            f"{path} cannot be read ({error.strerror}): name another folder with -o"
        ) from error
    except ValidationError as error:
        raise VerificationError(
            f"{path} holds no verification results ({first_problem(error)}): move it away, or name "
            "another folder with -o"
        ) from error


def keep_result(path: Path, key: str, result: Result) -> None:
    """Add a result to the file, beside those that another process may have added by now.

    Raises:
        VerificationError: the file has become something else.
        OSError: it cannot be written.
    """
    whole = _File(format=FORMAT, results={**read_results(path), key: result})
    write_whole(path, f"{whole.model_dump_json(indent=2)}\n".encode())
