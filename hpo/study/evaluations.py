"""How often a study's networks were scored on the evaluation tasks: every look is kept.

Whoever looks often and keeps the best has tuned on the evaluation set. Nobody is kept from looking
again, but the count stands with the study.
"""

import dataclasses
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

import optuna
from pydantic import TypeAdapter

from hpo.study.checked import Text, checked
from model.scoring import Score

PREFIX = "evaluation:"
"""Begins the study attributes that hold a look each: ``evaluation:<when>-<4 hex digits>``."""


@dataclass(frozen=True)
class Look:
    """One score of a study's network on the evaluation tasks."""

    when: Text
    """UTC, ISO 8601."""
    checkpoint: Text
    """Name of the file."""
    accuracy: float
    """In [0, 1]."""
    interval: tuple[float, float]
    """95 %."""
    tasks: int
    source: Text
    """Which tasks, in words."""


_LOOK = TypeAdapter(Look)


def look(checkpoint: str, score: Score) -> Look:
    """What is kept of a score that was taken just now."""
    when = datetime.now(UTC).isoformat(timespec="milliseconds")
    return Look(when, checkpoint, score.accuracy, score.interval, score.tasks, score.source)


def keep_look(study: optuna.Study, look: Look) -> None:
    """Keep a look with the study, beside all others, of this moment too."""
    study.set_user_attr(f"{PREFIX}{look.when}-{secrets.token_hex(2)}", dataclasses.asdict(look))


def evaluations(study: optuna.Study) -> list[Look]:
    """All looks at the evaluation tasks, the oldest first."""
    attributes = study.user_attrs
    kept = [key for key in sorted(attributes) if key.startswith(PREFIX)]
    return [checked(_LOOK, attributes[key], f"the {key}") for key in kept]
