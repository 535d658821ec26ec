from __future__ import annotations

import pytest
import torch

from model import memory
from model.memory import DoesNotFit, block_that_fits, out_of_memory
from tests.model.test_architecture import architecture

CPU = torch.device("cpu")


def test_a_network_beyond_the_memory_is_refused_with_both_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    described = architecture(((3, 16), (3, 16)), size=20, fc=4096)
    monkeypatch.setattr(memory, "available", lambda device: 2**20)
    with pytest.raises(DoesNotFit, match=r"at least 0\.0 GiB of memory, and 0\.0 GiB are free"):
        block_that_fits(described, CPU)


def test_a_block_shrinks_with_the_memory_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    described = architecture(((3, 16), (3, 16)), size=20, fc=48)
    blocks = []
    for megabytes in (4, 40, 400):
        monkeypatch.setattr(memory, "available", lambda device, m=megabytes: m * 2**20)
        blocks.append(block_that_fits(described, CPU))
    assert 1 <= blocks[0] < blocks[1] < blocks[2]


def test_out_of_memory_is_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as real:
        torch.empty(2**55)
    assert out_of_memory(real.value)
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert out_of_memory(DoesNotFit("too large"))
    assert not out_of_memory(RuntimeError("shapes differ"))
