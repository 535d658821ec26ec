from dataclasses import replace

import pytest
import torch

from data.drawings import Drawings
from data.split import Split


@pytest.fixture
def train(small_split: Split, device: torch.device) -> Drawings:
    return small_split.train.to(device)


@pytest.fixture
def alike(train: Drawings) -> Drawings:
    """Every drawing is the same one, so that an image tells how it was distorted."""
    return replace(train, images=train.images[:1].expand_as(train.images))


@pytest.fixture
def uneven() -> Drawings:
    """Classes of 2, 5 and 3 images of unknown hands; image i is full of i."""
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 3, 4, 4)
    counts = torch.tensor([2, 5, 3])
    return Drawings("uneven", "u", ("",), torch.zeros(3, dtype=torch.int64), (), counts, images)
