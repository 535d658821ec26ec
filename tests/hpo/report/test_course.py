import pandas as pd

from hpo.report.course import error_over_compute


def test_compute_adds_up_in_the_order_in_which_trials_ended() -> None:
    table = pd.DataFrame(
        {
            "number": [0, 1],
            "state": "complete",
            "error": [0.2, 0.4],
            "trained": True,
            "ended": pd.to_datetime([20, 10], unit="s", utc=True),
            "multiply_adds_spent": [100.0, 1.0],
        }
    )
    (done,) = (t for t in error_over_compute(table).traces if t["name"] == "complete")
    assert (done["x"], done["y"]) == ([1.0, 101.0], [0.4, 0.2])
