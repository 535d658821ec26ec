"""Searches that begin with another's configurations, `hpo run --from`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from optuna.trial import create_trial

from tests.hpo.big_study import big_study
from tests.hpo.command import Hpo, refused
from tests.hpo.tiny_study import tiny_settings, write_tiny


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("--from small", ["there is no study small in", "tiny/study.db or", "small/study.db"]),
        ("--from none", ["there is no study none in", "tiny/study.db: check the name"]),
        ("--from old --from-storage sqlite:///x.db", ["no study old in sqlite:///x.db: check"]),
        ("--from small --from-storage sqlite:///old.db", ["no study small in sqlite:///old.db"]),
        ("--from old --from-storage nonsense", ["--from old: the storage is not a database URL"]),
        ("--from-storage sqlite:///old.db", ["say which with --from"]),
        ("--from empty --from-storage sqlite:///old.db", ["empty has no complete trial"]),
        (
            "--from old --from-storage sqlite:///old.db --set network.convolutions=1 "
            "--set space.kernel.high=3 --set space.filters={low=48,high=48} "
            "--set space.fc_units={low=512,high=512} --set space.lr={low=1e-6,high=1e-5} "
            "--set space.momentum={low=0,high=0.1} --set space.l2={low=0,high=0}",
            ["nothing of the study old fits", "filters: 1 of 1 values", "widen the ranges"],
        ),
    ],
)
def test_what_cannot_be_is_one_sentence_and_writes_nothing(
    hpo: Hpo, tmp_path: Path, line: str, parts: list[str]
) -> None:
    settings, url = tiny_settings(tmp_path / "studies"), f"sqlite:///{tmp_path / 'old.db'}"
    stored = big_study(url, 0, settings=settings, name="old")
    params = stored.space.draw(np.random.default_rng(0)) | {"conv1_kernel": 5, "conv2_kernel": 5}
    kinds = stored.space.distributions
    stored.study.add_trial(create_trial(value=0.1, params=params, distributions=kinds))
    big_study(url, 0, settings=settings, name="empty")
    assert refused(hpo(f"run tiny --trials 1 {line}"), *parts)
    left = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert left <= {"tiny.toml", "old.db", "old.db-wal", "old.db-shm"}


@pytest.mark.soak
def test_from_one_search_to_the_next(hpo: Hpo, tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies")
    write_tiny(
        tmp_path / "studies",
        "next",
        **{"image_size = 20": "image_size = 18", "high = 32": "high = 16", "seed = 7": "seed = 8"},
    )
    assert hpo("run tiny --trials 2").status == 0
    line = "run next --trials 3 --from tiny"
    ran = hpo(line)
    assert ran.status == 0
    assert "from     2 configurations of tiny (2 best, 0 informative)\n" in ran.err
    assert "         filters: " in ran.err
    again = hpo(line)
    assert again.status == 0
    assert again.out == ran.out
    assert "from     2 configurations of tiny" in again.err
    assert hpo("report next --csv trials.csv").status == 0
    table = pd.read_csv(tmp_path / "trials.csv")
    assert sorted(table["from"].dropna()) == ["tiny trial 0", "tiny trial 1"]
    assert table["from"].isna().tolist() == [False, False, True]
    assert refused(hpo("run tiny --trials 2 --from next"), "tiny has trials and did not begin")
    assert refused(hpo("run next --trials 3 --from small"), "next began with tiny, not with this")
