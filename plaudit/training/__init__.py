"""Train a reward model: cached features, the choice of layer and ridge, the losses."""

from plaudit.settings import TrainConfig
from plaudit.training.training import Trained, train

__all__ = ["TrainConfig", "Trained", "train"]
