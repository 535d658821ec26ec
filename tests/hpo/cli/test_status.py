"""What `hpo status` says while a study runs."""

from pathlib import Path
from unittest.mock import Mock

import pytest
from optuna.trial import create_trial

from hpo.cli import status
from tests.hpo.command import Hpo
from tests.hpo.tiny_study import open_tiny, write_tiny


def test_watching_into_a_pipe_says_a_line_for_every_trial_that_ends_and_none_between(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 2 --workers 0").status == 0
    study = open_tiny(tmp_path).study
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) in (2, 4):
            study.add_trial(create_trial(value=1.0, user_attrs={"fail_reason": "diverged: x"}))

    monkeypatch.setattr(status, "time", Mock(sleep=sleep))
    said = hpo("status tiny --watch")
    assert said.status == 0, said.err
    lines = [line for line in said.out.splitlines() if line.startswith("tiny: ")]
    assert [line.partition(" (")[0] for line in lines] == [
        f"tiny: {ended} of 2 trials finished" for ended in (0, 1, 2)
    ]
    assert waits == [status.LOOK] * 4
