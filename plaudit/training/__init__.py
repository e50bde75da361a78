"""Train a reward model: cached features, the choice of layer and ridge, the losses."""

from plaudit.config import TrainConfig as TrainConfig
from plaudit.training.train import Trained as Trained
from plaudit.training.train import train as train
