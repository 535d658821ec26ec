"""What a seed draws never changes: two studies of one seed are of the same tasks and pairs."""

from pathlib import Path

import pytest
import torch
from syrupy.assertion import SnapshotAssertion
from torch import Tensor

from data.affine import draw_symmetries, draw_transforms
from data.all_pairs import all_pairs_batches
from data.chance import seeded
from data.drawings import Drawings
from data.pairs import draw_pairs, random_pair_batches
from data.sources.mnist import draw_digit_tasks, load_digits
from data.split import split_classes
from data.tasks import draw_tasks
from tests.data.fake_mnist import write_fake_mnist
from tests.data.ink import ink_of


def numbered(drawers: tuple[int, ...] = (1, 2, 3, 4, 5, 6)) -> Drawings:
    """Alphabets of 7, 5 and 6 characters, of six images each; image i is full of i."""
    images = torch.arange(108, dtype=torch.uint8).view(108, 1, 1, 1).expand(108, 1, 2, 2)
    alphabet_of = torch.tensor([0] * 7 + [1] * 5 + [2] * 6)
    return Drawings(
        "some", "s", ("a", "b", "c"), alphabet_of, drawers, torch.full((18,), 6), images
    )


def shown(images: Tensor) -> list[list[int]]:
    """The numbers of (R, N, 1, S, S) images of `numbered`."""
    numbers: list[list[int]] = images[..., 0, 0, 0].tolist()
    return numbers


def in_full(images: Tensor) -> list[int]:
    """The numbers of a batch's (N, 1, S, S) images of `numbered`."""
    numbers: list[int] = (images[:, 0, 0, 0] * 255).round().int().tolist()
    return numbers


@pytest.mark.parametrize("drawers", [(), (1, 2, 3, 4, 5, 6)])
@pytest.mark.parametrize(("shots", "askers"), [(1, 0), (3, 4)])
def test_tasks(
    drawers: tuple[int, ...], shots: int, askers: int, snapshot: SnapshotAssertion
) -> None:
    tasks = draw_tasks(numbered(drawers), 20, seed=3, way=5, shots=shots, askers=askers)
    drawn = zip(shown(tasks.support), shown(tasks.queries), tasks.target.tolist(), strict=True)
    assert [f"{support} {queries} {target}" for support, queries, target in drawn] == snapshot


def test_digits(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    tasks = draw_digit_tasks(load_digits(write_fake_mnist(tmp_path)), 4, seed=3, shots=2)
    drawn = zip(shown(tasks.support), shown(tasks.queries), tasks.target.tolist(), strict=True)
    assert [f"{support} {queries} {target}" for support, queries, target in drawn] == snapshot


def test_pairs(snapshot: SnapshotAssertion) -> None:
    pairs = draw_pairs(numbered(), 24, copies=2, seed=3)
    twins = torch.stack([pairs.first, pairs.second]).tolist()
    assert {"pairs": str(twins), "same": str(pairs.same.int().tolist())} == snapshot
    torch.testing.assert_close(
        pairs.transforms[1, 3, 1],
        torch.tensor([[1.057407, 0.010423, 0.0], [-0.011566, 0.952873, 0.0]]),
        atol=1e-5,
        rtol=0,
    )


@pytest.mark.parametrize("steps", [None, 3])
def test_the_order_of_pairs(steps: int | None, snapshot: SnapshotAssertion) -> None:
    pairs = draw_pairs(numbered(), 24, copies=0, seed=3)
    batches = random_pair_batches(numbered(), pairs, 7, seeded(5), steps, epoch=1)
    assert [str(in_full(batch.images)) for batch in batches] == snapshot


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("drawers", [(), (1, 2, 3, 4, 5, 6)])
def test_batches_of_characters(
    drawers: tuple[int, ...], at_once: int, snapshot: SnapshotAssertion
) -> None:
    batches = all_pairs_batches(numbered(drawers), 8, 4, 3, 0.0, False, seeded(5), at_once)
    assert [str(in_full(batch.images)) for batch in batches] == snapshot


def test_classes_that_are_held_out(snapshot: SnapshotAssertion) -> None:
    cut = split_classes(numbered(()), (), (), held_out=0.3, fewest=2, seed=3)
    parts = (cut.train, cut.validation, cut.evaluation)
    assert [str(part.images[::6, 0, 0, 0].tolist()) for part in parts] == snapshot


def test_distortions(snapshot: SnapshotAssertion) -> None:
    expected = torch.tensor(
        [
            [[0.923530, 0.675180, -0.023686], [-0.583012, 1.142831, 0.011394]],
            [[1.230788, 0.465133, 0.008675], [-0.318978, 0.912491, 0.056537]],
        ]
    )
    drawn = draw_transforms(40, seeded(3), 1.5)[[3, 21]]
    torch.testing.assert_close(drawn, expected, atol=1e-5, rtol=0)
    assert str(draw_symmetries(5, seeded(3)).int().tolist()) == snapshot


def test_strokes(strokes: Drawings) -> None:
    ink = ink_of(strokes) > 0
    assert int(ink.sum()) == pytest.approx(5_250_056, abs=50)
    places = torch.arange(105.0)
    for character, drawer, pixels, row, column in (
        (0, 0, 291, 38.93, 47.76),
        (250, 7, 473, 46.29, 60.30),
        (571, 19, 471, 46.92, 56.88),
    ):
        one = ink[character, drawer].float()
        # The last bit of a sine differs between processors, and with it a pixel in a million.
        assert float(one.sum()) == pytest.approx(pixels, abs=2)
        assert float((one.sum(1) * places).sum() / one.sum()) == pytest.approx(row, abs=0.1)
        assert float((one.sum(0) * places).sum() / one.sum()) == pytest.approx(column, abs=0.1)
