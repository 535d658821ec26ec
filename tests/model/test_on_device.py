"""A GPU's work on a machine without one: where every tensor is, and that nobody waits for values.

Tensors here have a shape and a device and no values: an operation over two devices fails, and so
does one whose result the host would have to look at.
"""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from data.all_pairs import all_pairs_batches
from data.drawings import Drawings
from data.pairs import PairBatch, draw_pairs, random_pair_batches
from data.split import Split
from data.tasks import OneShotTasks
from model.fast import pooling
from model.fast.encoder import encoder
from model.loss import batch_loss
from model.scoring import correct_share, error_of, one_shot_scores
from model.siamese import SiameseNetwork
from tests.model.tiny import architecture

CUDA = torch.device("cuda")


class Chance(torch.Generator):
    """A generator of the GPU, which only a GPU could make."""

    device = CUDA


@pytest.fixture(autouse=True)
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of one's own needs values."""
    monkeypatch.setattr(pooling, "_fused", lambda device: None)


@pytest.fixture
def on_gpu(small_split: Split) -> Iterator[Drawings]:
    """The training set on a GPU that is not there; within it nothing has values."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield small_split.train.to(CUDA)


def network_on_gpu(normalisation: str = "none", framed: bool = False) -> SiameseNetwork:
    described = architecture(((3, 16), (3, 16)), size=20, fc=32)
    described = described.model_copy(update={"normalisation": normalisation, "framed": framed})
    with CUDA:
        return SiameseNetwork(described, torch.Generator())


def check(batches: Iterator[PairBatch], count: int) -> PairBatch:
    every = list(batches)
    assert len(every) == count
    for batch in every:
        assert batch.images.device.type == "cuda"
        assert batch.same is None or batch.same.device.type == "cuda"
    return every[0]


@pytest.mark.parametrize("steps", [None, 4])
def test_random_pairs_are_made_on_the_device(
    small_split: Split, request: pytest.FixtureRequest, steps: int | None
) -> None:
    pairs = draw_pairs(small_split.train, 200, copies=1, seed=0)
    drawings = request.getfixturevalue("on_gpu")
    there = {field.name: getattr(pairs, field.name).to(CUDA) for field in dataclasses.fields(pairs)}
    pairs = dataclasses.replace(pairs, **there)
    batches = random_pair_batches(drawings, pairs, 64, Chance(), steps, at_once=3)
    batch = check(batches, steps or 7)
    network = network_on_gpu()
    embedded = encoder(network, "fp32")(batch.images)
    assert batch_loss(network, embedded, batch.same, softmax=False).device.type == "cuda"


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize(
    ("normalisation", "framed"), [("none", False), ("batch", False), ("batch", True)]
)
def test_all_pairs_are_made_on_the_device(
    on_gpu: Drawings, softmax: bool, normalisation: str, framed: bool
) -> None:
    batch = check(all_pairs_batches(on_gpu, 30, 10, 3, 1.0, True, Chance(), at_once=2), 3)
    network = network_on_gpu(normalisation, framed)
    embedded = encoder(network, "fp32")(batch.images)
    assert batch_loss(network, embedded, None, softmax).device.type == "cuda"


@pytest.mark.parametrize("framed", [False, True])
def test_a_validation_waits_for_its_result_alone(small_tasks: OneShotTasks, framed: bool) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        network = network_on_gpu(framed=framed)
        encode = encoder(network, "fp32")
        tasks = small_tasks.to(CUDA)
        scores = one_shot_scores(tasks, encode, network.score_all, block=64)
        shares = correct_share(scores, tasks.target)
        assert shares.device.type == "cuda"
        with pytest.raises(DataDependentOutputException):
            float(error_of(shares))
