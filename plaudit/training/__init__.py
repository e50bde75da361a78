"""Train a reward model: cached features, the choice of layer and ridge, the losses."""

from plaudit.config import TrainConfig
from plaudit.training.train import Trained, train

__all__ = ["TrainConfig", "Trained", "train"]
