import pytest
from pydantic import ValidationError

from data.chance import seeded
from model.siamese import SiameseNetwork
from tests.model.tiny import architecture


def test_the_published_network_has_the_published_size() -> None:
    published = architecture()
    assert published.features == 9216
    assert published.weights == 38_951_745
    assert published.multiply_adds == 908_623_872
    assert published.layers == ("conv1", "conv2", "conv3", "conv4", "fc", "out")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("normalisation", ["none", "batch"])
@pytest.mark.parametrize(
    ("layers", "size", "fc"),
    [(((3, 16),), 12, 128), (((5, 16), (3, 32)), 28, 64), (((4, 16), (3, 16), (2, 32)), 35, 96)],
)
def test_weights_and_features_are_those_of_the_real_network(
    layers: tuple[tuple[int, int], ...], size: int, fc: int, normalisation: str, channels: int
) -> None:
    chosen = {"normalisation": normalisation, "channels": channels}
    described = architecture(layers, size, fc).model_copy(update=chosen)
    network = SiameseNetwork(described, seeded(0))
    assert described.weights == sum(p.numel() for p in network.parameters())
    assert described.features == network.layer("fc").weight.shape[1]
    work, side = network.layer("fc").weight.numel(), size
    for number, (kernel, _) in enumerate(layers, start=1):
        side = (side if number == 1 else side // 2) - kernel + 1
        work += network.layer(f"conv{number}").weight.numel() * side**2
    assert described.multiply_adds == work


def test_a_kernel_that_does_not_fit_is_named_with_its_map() -> None:
    with pytest.raises(
        ValidationError, match=r"kernel=20 does not fit: layer conv3 sees a 18×18 map"
    ):
        architecture(((20, 16), (8, 16), (20, 16), (3, 16)))
    with pytest.raises(ValidationError, match=r"kernel=7 does not fit: layer conv2 sees a 6×6 map"):
        architecture(((4, 16), (7, 16)), size=15, fc=16)


def test_the_last_convolution_is_not_pooled() -> None:
    assert architecture(((3, 16), (3, 16)), size=12).sides == [12, 5, 3]
    assert architecture(((12, 16),), size=12).sides == [12, 1]
