import pytest

from model.history import Epoch, History


def test_the_rate_is_of_the_training_alone_and_the_seconds_are_of_both() -> None:
    history = History(
        [
            Epoch(0.5, 1.0, pairs=30, train_seconds=2.0, validation_seconds=0.5),
            Epoch(0.3, 1.0, pairs=30, train_seconds=1.0, validation_seconds=0.25),
            Epoch(0.3, 1.0, pairs=60, train_seconds=3.0, validation_seconds=0.25),
            Epoch(0.4, 1.0, pairs=60, train_seconds=4.0, validation_seconds=1.0),
        ]
    )
    assert history.pairs_per_second == pytest.approx(18)
    assert history.seconds == pytest.approx(12)
    assert (history.best_epoch, history.best_error) == (1, 0.3)
    assert History().pairs_per_second == 0
