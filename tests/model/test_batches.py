import pytest
import torch

from data.chance import seeded
from data.drawings import as_input
from data.split import Split
from model.batches import batches_of
from model.recipe import AllPairs, RandomPairs, Sampling
from tests.model.tiny import tiny_configuration

PLAIN = AllPairs(characters=20, per_alphabet=10, steps=2, distorted=False)


def images(cut: Split, sampling: Sampling, seed: int = 0) -> torch.Tensor:
    """Those of the first batch that chance of this seed gives, (2N, S·S)."""
    training = tiny_configuration(sampling=sampling).training
    return next(batches_of(training, cut.train, seeded(seed))(0)).images.flatten(1)


def test_a_set_of_pairs_is_of_the_samplings_own_seed(small_split: Split) -> None:
    def shown(seed: int, chance: int) -> set[tuple[float, ...]]:
        whole = RandomPairs(pairs=20, copies=0, batch=20, seed=seed)
        twins = torch.cat(images(small_split, whole, chance).chunk(2), dim=1)
        return {tuple(pair) for pair in twins.tolist()}

    assert len(shown(5, 1)) == 20
    assert shown(5, 1) == shown(5, 2)
    assert not shown(5, 1) & shown(6, 1)


def test_what_is_not_to_be_distorted_is_as_it_was_drawn(small_split: Split) -> None:
    known = as_input(small_split.train.images).flatten(1)
    away = torch.cdist(images(small_split, PLAIN), known).amin(dim=1)
    assert away.max() < 0.01
    distorted = PLAIN.model_copy(update={"distorted": True})
    away = torch.cdist(images(small_split, distorted), known).amin(dim=1)
    assert (away > 0.1).float().mean() > 0.9


def test_a_distortion_is_as_wide_as_the_sampling_has_it(small_split: Split) -> None:
    def moved(width: float) -> float:
        wide = PLAIN.model_copy(update={"distorted": True, "distortion_width": width})
        return float((images(small_split, wide) - images(small_split, PLAIN)).abs().mean())

    assert moved(1e-6) < 1e-5
    assert moved(3.0) > 1.2 * moved(1.0)


def test_alphabets_are_turned_if_they_are_to_be(small_split: Split) -> None:
    plain = images(small_split, PLAIN)
    turned = images(small_split, PLAIN.model_copy(update={"turned": True}))
    assert not torch.equal(turned, plain)
    # Turns and mirror images of the very same drawings: the same pixels in other places.
    torch.testing.assert_close(
        turned.sort(dim=1).values, plain.sort(dim=1).values, atol=1e-4, rtol=0
    )


def test_alphabets_are_distorted_as_wide_as_the_sampling_has_it(small_split: Split) -> None:
    def moved(width: float) -> float:
        wide = PLAIN.model_copy(update={"alphabet_distortion": width})
        return float((images(small_split, wide) - images(small_split, PLAIN)).abs().mean())

    assert moved(0.0) == 0
    assert 0 < moved(1e-6) < 1e-5
    assert moved(3.0) > 1.2 * moved(1.0) > 0.01


def test_a_batch_has_as_many_of_an_alphabet_as_the_sampling_has_it(small_split: Split) -> None:
    train = small_split.train
    known = as_input(train.images).flatten(1)
    for most, expected in ((20, [20]), (10, [10, 10]), (8, [4, 8, 8])):
        sampling = PLAIN.model_copy(update={"per_alphabet": most})
        first, _ = torch.cdist(images(small_split, sampling), known).argmin(dim=1).chunk(2)
        counts = torch.bincount(train.alphabet_of[first // len(train.drawers)])
        assert sorted(counts[counts > 0].tolist()) == expected


@pytest.mark.parametrize(
    ("sampling", "steps"),
    [
        (RandomPairs(pairs=20, copies=2, batch=32), 2),  # 60 pairs: one whole step and a part
        (RandomPairs(pairs=20, copies=3, batch=16), 5),
        (RandomPairs(pairs=20, copies=2, batch=32, steps=7), 7),
        (PLAIN, 2),
    ],
)
def test_an_epoch_has_the_steps_that_are_counted_on(
    small_split: Split, sampling: Sampling, steps: int
) -> None:
    training = tiny_configuration(sampling=sampling).training
    batches = list(batches_of(training, small_split.train, seeded(0))(0))
    assert len(batches) == sampling.epoch_steps == steps
    assert len(batches[0].images) == sampling.images
