"""What a trained network has to beat: simpler ways to answer the same tasks, and their scores."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import torch
from pydantic import TypeAdapter, ValidationError, with_config
from torch import Tensor

from data.files import write_whole
from data.tasks import OneShotTasks
from hpo.paper.distances import affine_distance, modified_hausdorff
from hpo.paper.reference_networks import NETWORKS, configuration_of, network_key
from hpo.results.evaluate import class_scores, evaluate_scores
from hpo.study.paths import scores_folder
from model.checkpoint import Checkpoint
from model.scoring import Score, right_by_distance, right_by_pixels, score

Baseline = Callable[[OneShotTasks], Tensor]
"""Answers the tasks, and gives how right each answer is, (R, Q) in [0, 1]."""


def right_by_chance(tasks: OneShotTasks) -> Tensor:
    """(R, Q): what is expected of chance, not a draw of it."""
    return torch.full(tasks.target.shape, 1 / tasks.way, dtype=torch.float64)


BASELINES: Mapping[str, Baseline] = {
    "chance": right_by_chance,
    "nearest-neighbour": right_by_pixels,
    "hausdorff": lambda tasks: right_by_distance(tasks, modified_hausdorff),
    "affine": lambda tasks: right_by_distance(tasks, affine_distance),
}
"""What needs no training, by name, in the order in which they are measured."""
NAMES = (*BASELINES, *NETWORKS)
"""All that can be measured, in that order."""


@dataclass(frozen=True)
class Measured:
    """A baseline's score, and how long it took."""

    score: Score
    seconds: float


def measure(name: str, tasks: OneShotTasks) -> Measured:
    """Score one of `BASELINES`."""
    return _timed(lambda: score(name, BASELINES[name](tasks), tasks))


def measure_network(
    name: str, checkpoint: Checkpoint, tasks: OneShotTasks, device: torch.device
) -> Measured:
    """Score a trained network, which is on ``device``, under the name of its row."""
    return _timed(lambda: evaluate_scores(name, class_scores(checkpoint, tasks, device), tasks))


def _timed(scored: Callable[[], Score]) -> Measured:
    start = time.perf_counter()
    return Measured(scored(), round(time.perf_counter() - start, 2))


@with_config(extra="forbid", allow_inf_nan=False)
@dataclass(frozen=True, kw_only=True)
class KeptScore(Score):
    """One system's one-shot score on the tasks of the evaluation alphabets."""

    drawn_from: str | None
    """Fingerprint of the data that the tasks were drawn from; None for the runs of a file."""
    network: str | None
    """`network_key` of the network that was scored, if it was one."""
    when: str
    """UTC, ISO 8601."""


_KEPT = TypeAdapter(KeptScore)


def keep(score: Score, drawn_from: str | None, network: str | None) -> None:
    """Keep a score that was taken just now, in place of an older one on the same tasks.

    Args:
        score: with its system's name.
        drawn_from: fingerprint of the data that the tasks were drawn from, if they were.
        network: its `network_key`, if it is of a network.

    Raises:
        OSError: the file cannot be written.
    """
    when = datetime.now(UTC).isoformat(timespec="seconds")
    kept = KeptScore(**asdict(score), drawn_from=drawn_from, network=network, when=when)
    # A file for each: two commands at once cannot lose each other's.
    tasks = hashlib.sha256(f"{score.source}\0{drawn_from}".encode()).hexdigest()[:12]
    path = scores_folder() / f"{score.name}-{tasks}.json"
    write_whole(path, _KEPT.dump_json(kept, indent=2))


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
            one = _KEPT.validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue  # of another version
        if one.drawn_from in (None, fingerprint) and _of_today(one, fingerprint):
            found.append(one)
    return sorted(found, key=lambda one: (one.source, -one.accuracy, one.name))


def _of_today(one: KeptScore, fingerprint: str) -> bool:
    if one.network is None:
        return True
    return one.network == network_key(one.name, configuration_of(one.name), fingerprint)
