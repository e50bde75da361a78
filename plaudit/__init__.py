"""plaudit: reward models of LLMs, from human comparisons to the RL loop.

Public names are listed in `EXPORTS` and loaded on first use, so that importing plaudit
stays light and never imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from plaudit.version import __version__ as __version__

if TYPE_CHECKING:
    from plaudit.client.reward import reward_function as reward_function
    from plaudit.data import read as read
    from plaudit.evaluation import evaluate as evaluate
    from plaudit.model import Renderer as Renderer
    from plaudit.model import RewardModel as RewardModel
    from plaudit.model import load as load
    from plaudit.model import reward_loss as reward_loss
    from plaudit.scoring_api import Ranked as Ranked
    from plaudit.scoring_api import Scoring as Scoring
    from plaudit.study import Study as Study
    from plaudit.study import compare as compare
    from plaudit.training.train import train as train
    from plaudit.types import Comparison as Comparison
    from plaudit.types import Conversation as Conversation
    from plaudit.types import Judgment as Judgment
    from plaudit.types import Message as Message
    from plaudit.types import Pair as Pair
    from plaudit.types import Scorer as Scorer
    from plaudit.types import Scores as Scores
    from plaudit.types import Slate as Slate
    from plaudit.types import as_conversation as as_conversation

EXPORTS = {
    "Comparison": "plaudit.types",
    "Conversation": "plaudit.types",
    "Judgment": "plaudit.types",
    "Message": "plaudit.types",
    "Pair": "plaudit.types",
    "Ranked": "plaudit.scoring_api",
    "Renderer": "plaudit.model",
    "RewardModel": "plaudit.model",
    "Scorer": "plaudit.types",
    "Scores": "plaudit.types",
    "Scoring": "plaudit.scoring_api",
    "Slate": "plaudit.types",
    "Study": "plaudit.study",
    "as_conversation": "plaudit.types",
    "compare": "plaudit.study",
    "evaluate": "plaudit.evaluation",
    "load": "plaudit.model",
    "read": "plaudit.data",
    "reward_function": "plaudit.client.reward",
    "reward_loss": "plaudit.model",
    "train": "plaudit.training",
}

__all__ = ["__version__", *EXPORTS]


def __getattr__(name: str) -> Any:
    # Importing a submodule (plaudit.errors) sets it as an attribute; only exports come here.
    if name in EXPORTS:
        return getattr(import_module(EXPORTS[name]), name)
    raise AttributeError(f"module 'plaudit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
