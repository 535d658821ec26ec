"""What scripts and notebooks do with a study and a network; never imports `cli`, prints nothing."""

from data.errors import UserError
from hpo.api.networks import TrainedNetwork, load_checkpoint, train
from hpo.api.studies import best_configuration, load_study, trials_dataframe

__all__ = [
    "TrainedNetwork",
    "UserError",
    "best_configuration",
    "load_checkpoint",
    "load_study",
    "train",
    "trials_dataframe",
]
