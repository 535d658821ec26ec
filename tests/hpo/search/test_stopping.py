import signal
import time
from collections.abc import Iterator

import pytest

from hpo.search.stopping import Stop
from model.history import Interrupted


@pytest.fixture(autouse=True)
def _own_alarm() -> Iterator[None]:
    """The test has the alarm of the process to itself."""
    before = signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.setitimer(signal.ITIMER_REAL, *before)


def test_a_signal_stops_at_the_next_step_and_a_second_ctrl_c_at_once() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    stop = Stop(None)
    with stop.on_signals():
        stop.check()
        signal.raise_signal(signal.SIGINT)
        assert stop.requested()
        with pytest.raises(Interrupted, match=r"^Ctrl-C$"):
            stop.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_step_may_go_on_for_a_while_after_sigterm() -> None:
    stop = Stop(None, grace=0.05)
    with stop.on_signals():
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted, match=r"^SIGTERM$"):
            stop.check()
        with pytest.raises(KeyboardInterrupt):
            time.sleep(10)


def test_a_second_sigterm_gives_no_more_time() -> None:
    with Stop(None, grace=100).on_signals():
        signal.raise_signal(signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, 50)  # as if half of it were over
        signal.raise_signal(signal.SIGTERM)
        assert signal.getitimer(signal.ITIMER_REAL)[0] <= 50


def test_what_ends_in_time_is_not_killed_later() -> None:
    with Stop(None, grace=100).on_signals():
        signal.raise_signal(signal.SIGTERM)
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_the_time_is_up_when_it_is_and_an_earlier_reason_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 50.0
    monkeypatch.setattr("hpo.search.stopping.time.monotonic", lambda: now)
    stop = Stop(20)
    assert stop.left() is None
    with stop.on_signals():
        now = 65.0
        stop.check()
        assert stop.left() == 5
        assert not stop.requested()
        now = 71.0
        assert stop.left() == 0
        assert stop.requested()  # whoever waits for a database gives up
        with pytest.raises(Interrupted, match="the time is up"):
            stop.check()
