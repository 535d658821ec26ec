"""The scores that `hpo baselines` took, kept for reports, which measure nothing themselves."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from pydantic import ValidationError

from data.files import write_whole
from hpo.evaluation import Score
from hpo.places import scores_folder
from hpo.reference_networks import configuration_of, network_key
from model.architecture import Frozen


class KeptScore(Frozen):
    """One system's one-shot score on the tasks of the evaluation alphabets."""

    name: str
    accuracy: float
    """In [0, 1]."""
    interval: tuple[float, float]
    """95 %, Wilson."""
    tasks: int
    source: str
    """Which tasks; scores on two sources are not comparable."""
    drawn_from: str | None
    """Fingerprint of the data that the tasks were drawn from; None for the runs of a file."""
    network: str | None
    """`network_key` of the network that was scored, if it was one."""
    when: str
    """UTC, ISO 8601."""


def keep(score: Score, drawn_from: str | None, network: str | None) -> None:
    """Keep a score that was taken just now, in place of an older one on the same tasks.

    Args:
        score: with its system's name.
        drawn_from: fingerprint of the data that the tasks were drawn from, if they were.
        network: its `network_key`, if it is of a network.

    Raises:
        OSError: the file cannot be written.
    """
    kept = KeptScore(
        name=score.name,
        accuracy=score.accuracy,
        interval=score.interval,
        tasks=score.tasks,
        source=score.source,
        drawn_from=drawn_from,
        network=network,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    # A file for each: two commands at once cannot lose each other's.
    tasks = hashlib.sha256(f"{score.source}\0{drawn_from}".encode()).hexdigest()[:12]
    path = scores_folder() / f"{score.name}-{tasks}.json"
    write_whole(path, kept.model_dump_json(indent=2).encode())


def kept_scores(fingerprint: str) -> list[KeptScore]:
    """The scores that stand beside those of a study, by source, the best first.

    Left out are scores on tasks that were drawn from other data, and those of networks of another
    configuration than today's, or that were trained on other data.

    Args:
        fingerprint: of the study's data.

    Raises:
        ConfigurationError: the configuration of a network that was scored is absent or broken.
    """
    found = []
    for path in scores_folder().glob("*.json"):
        try:
            one = KeptScore.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue  # of another version
        if one.drawn_from in (None, fingerprint) and _of_today(one, fingerprint):
            found.append(one)
    return sorted(found, key=lambda one: (one.source, -one.accuracy, one.name))


def _of_today(one: KeptScore, fingerprint: str) -> bool:
    if one.network is None:
        return True
    return one.network == network_key(one.name, configuration_of(one.name), fingerprint)
