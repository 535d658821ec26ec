from __future__ import annotations

import numpy as np
import pytest

from model.packed import pack, unpack


@pytest.mark.parametrize("count", [1, 8, 100, 320, 4000])
def test_what_was_packed_comes_back(count: int) -> None:
    right = np.random.default_rng(count).random(count) < 0.7
    text = pack(right)
    assert (unpack(text, count) == right).all()
    whole = unpack(text)
    assert len(whole) == -(-count // 8) * 8
    assert (whole[:count] == right).all()
    assert not whole[count:].any()


def test_it_is_short() -> None:
    assert len(pack(np.ones(320, np.bool_))) == 54
    assert len(pack(np.ones(4000, np.bool_))) == 667
    assert pack(np.array([True, False, False, False, False, False, False, True])) == "gQ"
