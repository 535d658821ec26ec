"""Worked out by hand from logits that are logarithms: e to a logit is then a whole number."""

from math import log

import pytest
import torch

from model.loss import all_pairs_loss


def test_the_softmax_loss_is_over_rows_and_columns_with_smoothed_labels() -> None:
    logits = torch.tensor([[3.0, 1.0], [2.0, 6.0]]).log()
    # A label is 0.95 of its own and 0.05 shared by the two: 0.975 and 0.025.
    rows = [0.975 * log(4 / 3) + 0.025 * log(4 / 1), 0.975 * log(8 / 6) + 0.025 * log(8 / 2)]
    columns = [0.975 * log(5 / 3) + 0.025 * log(5 / 2), 0.975 * log(7 / 6) + 0.025 * log(7 / 1)]
    expected = (sum(rows) / 2 + sum(columns) / 2) / 2
    assert expected == pytest.approx(0.33755, abs=1e-5)
    assert float(all_pairs_loss(logits, softmax=True)) == pytest.approx(expected)


def test_the_binary_loss_gives_same_and_different_pairs_half_of_the_weight_each() -> None:
    logits = torch.tensor([[3.0, 1.0, 1.0], [2.0, 6.0, 1.0], [1.0, 1.0, 1.0]]).log()
    same = [log(4 / 3), log(7 / 6), log(2)]
    different = [log(2), log(2), log(3), log(2), log(2), log(2)]
    expected = (sum(same) / 3 + sum(different) / 6) / 2
    assert float(all_pairs_loss(logits, softmax=False)) == pytest.approx(expected)
