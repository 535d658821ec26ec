"""Searches under faults of all kinds at once, for as many minutes as ``HPO_SOAK_MINUTES`` says."""

import os
import random
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from hpo.study.limits import wanted_trials
from hpo.study.retry import is_given_up, owed_a_retry
from hpo.study.study import StoredStudy
from hpo.study.trials import finished
from tests.hpo.faults import Faults, Search, small_disk
from tests.hpo.processes import check_whole, opened, some
from tests.hpo.servers import Server
from tests.hpo.tiny_study import write_tiny

MINUTES = float(os.environ.get("HPO_SOAK_MINUTES", "2"))
SEED = int(os.environ.get("HPO_SOAK_SEED", "0"))
EACH = 24  # trials of a round, which two searches of different --trials share
MARGIN = 14  # trials before the end at which the search that wants fewer is not begun again
STUCK = 420  # seconds without a trial being finished: longer than any process is waited for
LONG = 15  # minutes of a soak in which a worker is suspended until it counts as dead


@pytest.mark.soak
@pytest.mark.timeout(60 * MINUTES + 1200)
@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"])
def test_faults_of_all_kinds_at_once_lose_nothing_and_count_nothing_twice(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server: Server | None = None if kind == "sqlite" else request.getfixturevalue(kind)
    chance, logs = random.Random(f"{SEED} {kind}"), tmp_path / "logs"
    logs.mkdir()
    with small_disk(tmp_path / "disk") as disk:
        folder = disk or tmp_path / "disk"
        write_tiny(folder / "studies", "faults")
        url = server.url if server else f"sqlite:///{folder / 'study.db'}"
        deadline, wanted = time.monotonic() + 60 * MINUTES, 0
        happened: dict[str, int] = {}
        while time.monotonic() < deadline or not all(happened.values()):
            wanted += EACH
            searches = [
                Search(folder, line(n, w, url), (logs / f"{n}.log").open("a"))
                for n, w in ((wanted, 1), (wanted + 5, 2))
            ]
            stored = opened(url, "faults")
            long = wanted == EACH and MINUTES >= LONG
            faults = Faults(stored, searches, server, disk, chance, long)
            faults.happened.update(happened)
            try:
                run_a_round(stored, searches, faults, wanted, chance)
            finally:
                faults.end()
                for search in searches:
                    search.kill()
            happened = faults.happened
            check(stored)
        print(f"{kind}: {finished(stored.study)} trials, faults: {happened}")


def line(trials: int, workers: int, url: str) -> str:
    return (
        f"run faults --trials {trials} --workers {workers} --storage {url} "
        "--set search.pruner=halving --set training.epochs=6 --set training.sampling.steps=20"
    )


def run_a_round(
    stored: StoredStudy,
    searches: list[Search],
    faults: Faults,
    wanted: int,
    chance: random.Random,
) -> None:
    """Let faults happen until both searches have ended well.

    Between two faults a trial has to end, so that a slow machine gets on as well.
    """
    fewer, more = searches
    before, since, begun = -1, time.monotonic(), -1
    fewer_ended = more_ended = False
    while not (fewer_ended and more_ended):
        done = finished(stored.study)
        # Begun again at the end, it would ask for less than there may be by then.
        fewer_ended = fewer_ended or fewer.ended(again=done <= wanted - MARGIN)
        more_ended = more_ended or more.ended()
        if done != before:
            before, since = done, time.monotonic()
        assert time.monotonic() - since < STUCK, [t.state for t in some(stored)]
        if done != begun:
            faults.next()
            begun = done
        time.sleep(chance.uniform(0.2, 2))


def check(stored: StoredStudy) -> None:
    """See that all trials are whole and counted once, and that none that failed is forgotten."""
    trials = stored.study.get_trials(deepcopy=False)
    check_whole(stored, wanted_trials(stored.study) or 0)
    given_up = [t.number for t in trials if t.state == TrialState.FAIL and is_given_up(t)]
    assert not owed_a_retry(trials)
    assert len(given_up) <= len(trials) / 20  # four deaths in a row within one epoch
