import pytest
import torch

from data.split import Split
from data.tasks import OneShotTasks
from model.training import Trainer
from tests.model.tiny import Make


@pytest.fixture
def make(small_split: Split, small_tasks: OneShotTasks, device: torch.device) -> Make:
    """Makes trainers on every device."""
    drawings, tasks = small_split.train.to(device), small_tasks.to(device)
    return lambda configuration: Trainer(configuration, drawings, tasks, device)
