"""A configuration that trains in a second, and architectures by their layers."""

from collections.abc import Callable

from model.architecture import Architecture, Convolution
from model.configuration import Configuration, DataChoice, Provenance
from model.recipe import AllPairs, LayerRates, RandomPairs, Training
from model.training import Trainer

Make = Callable[[Configuration], Trainer]
"""Makes the trainer of a configuration."""
PUBLISHED = ((10, 64), (7, 128), (4, 128), (4, 256))
RATES = LayerRates(lr=0.05, momentum=0.9, l2=1e-5)


def tiny_configuration(
    epochs: int = 2,
    rates: LayerRates = RATES,
    sampling: AllPairs | RandomPairs | None = None,
    seed: int = 1,
    **training: object,
) -> Configuration:
    """Two convolutions and 32 units at 20×20, on strokes."""
    recipe = {
        "sampling": sampling or AllPairs(characters=20, per_alphabet=10, steps=4, loss="softmax"),
        "epochs": epochs,
        "momentum_ramp": 2,
        "precision": "fp32",
        **training,
    }
    return Configuration(
        seed=seed,
        data=DataChoice(set="strokes"),
        network=Architecture(
            image_size=20,
            convolutions=(Convolution(kernel=3, filters=16), Convolution(kernel=3, filters=16)),
            fc_units=32,
            initial_weights="he",
        ),
        rates=dict.fromkeys(("conv1", "conv2", "fc", "out"), rates),
        training=Training.model_validate(recipe),
    )


def exported(configuration: Configuration) -> Configuration:
    """The same as `hpo export` would give it, of a trial."""
    provenance = Provenance(
        study="tiny",
        trial=4,
        error=0.3,
        best_epoch=1,
        seed=1,
        training=configuration.training,
        data_fingerprint="strokes-1-0",
        device="CPU, 2 threads",
        precision="fp32",
        hpo_version="1",
        exported="2026-01-01T00:00:00Z",
    )
    return configuration.model_copy(update={"provenance": provenance})


def architecture(
    layers: tuple[tuple[int, int], ...] = PUBLISHED, size: int = 105, fc: int = 4096
) -> Architecture:
    return Architecture(
        image_size=size,
        convolutions=tuple(Convolution(kernel=k, filters=f) for k, f in layers),
        fc_units=fc,
    )
