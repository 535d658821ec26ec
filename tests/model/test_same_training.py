"""A seed trains as it always has: what changes a training's figures is a change of the recipe."""

from typing import Any, NamedTuple

import pytest
import torch

from data.split import Split
from data.tasks import OneShotTasks
from model.recipe import AllPairs, LayerRates, RandomPairs
from model.training import Trainer, train
from tests.model.tiny import tiny_configuration


class Recipe(NamedTuple):
    """Settings of a recipe and its network, and the figures that they gave."""

    training: dict[str, Any]
    network: dict[str, Any]
    lr: float
    losses: tuple[float, ...]
    """After each epoch."""
    errors: tuple[float, ...]
    weights: dict[str, float]
    """Mean of the absolute values of each layer's, in the end."""


RECIPES = {
    "paper": Recipe(
        {
            "sampling": RandomPairs(pairs=120, copies=1, batch=32),
            "momentum_ramp": 3,
            "lr_decay": 0.8,
        },
        {"initial_weights": "paper"},
        0.06,
        (0.713282, 0.696006, 0.694388),
        (0.93, 0.93, 0.92),
        {"conv1": 0.00808750, "conv2": 0.00795928, "fc": 0.145833, "out": 0.131165},
    ),
    "binary": Recipe(
        {
            "sampling": AllPairs(characters=20, per_alphabet=10, steps=12, loss="binary"),
            "schedule": "linear",
            "averaging": 0.5,
        },
        {},
        0.2,
        (0.691404, 0.682458, 0.665090),
        (0.9, 0.73, 0.61),
        {"conv1": 0.374570, "conv2": 0.0878195, "fc": 0.0222140, "out": 0.133898},
    ),
    "modern": Recipe(
        {
            "sampling": AllPairs(
                characters=20,
                per_alphabet=10,
                steps=4,
                loss="softmax",
                distortion_width=1.5,
                turned=True,
                alphabet_distortion=1.0,
            ),
            "optimizer": "adamw",
            "schedule": "linear",
            "averaging": 0.3,
        },
        {"normalisation": "batch", "eight_views": True},
        0.01,
        (2.819695, 2.388728, 2.283790),
        (0.49, 0.47, 0.48),
        {"conv1": 0.382903, "conv2": 0.103957, "fc": 0.0598201, "out": 0.211306},
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_as_it_always_has(
    name: str, small_split: Split, small_tasks: OneShotTasks
) -> None:
    recipe = RECIPES[name]
    plain = tiny_configuration(epochs=3, **recipe.training)
    rates = {
        layer: LayerRates(lr=recipe.lr * k, momentum=0.4 + 0.1 * k, l2=0.002 * k)
        for k, layer in enumerate(plain.rates, start=1)
    }
    network = plain.network.model_copy(update=recipe.network)
    configuration = plain.model_copy(update={"network": network, "rates": rates})
    trainer = Trainer(configuration, small_split.train, small_tasks, torch.device("cpu"))
    trained = train(trainer)
    epochs = trainer.history.epochs
    assert [epoch.loss for epoch in epochs] == pytest.approx(recipe.losses, rel=3e-4)
    # Of 100 tasks; one that is nearly a tie may fall otherwise on another processor.
    assert [epoch.error for epoch in epochs] == pytest.approx(recipe.errors, abs=0.025)
    sizes = {layer: float(trained.layer(layer).weight.detach().abs().mean()) for layer in rates}
    assert sizes == pytest.approx(recipe.weights, rel=3e-4)
