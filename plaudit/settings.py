"""Settings of `plaudit train`: the flags, the file and the Python call are this one class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from plaudit.errors import UsageError

__all__ = ["TrainConfig"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What `train` can be told. Raises UsageError on a value that cannot be used."""

    base: str = "smollm2"
    """The SFT model to start from: smollm2, a folder, a .gguf file or a hub id."""
    tune: Literal["head"] = "head"
    """What is trained: the head, on a frozen backbone."""
    layer: str = "auto"
    """The backbone's last layer: auto (cross-validated), last, or a number."""
    test: str | None = None
    """Held-out DATA; without it a share of the prompts is held out."""
    test_share: float = 0.2
    """Share of the prompts held out where no test data is given."""
    refit: bool = True
    """Fit the saved head on all rows, after the held-out numbers are taken."""
    format: str | None = None
    """Format of DATA, detected when not given."""
    columns: str | None = None
    """Columns of other layouts: prompt=question,reply_a=answer_1,reply_b=answer_2,label=better."""
    split: str | None = None
    """Split of a Hugging Face data set."""
    max_length: int = 2048
    """Tokens of a conversation; the oldest turns of longer ones are cut, never the reply's end."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the pass; auto races both on this machine."""

    def __post_init__(self) -> None:
        if self.layer not in ("auto", "last") and not self.layer.isdigit():
            raise UsageError(f"--layer must be auto, last or a number, found {self.layer!r}")
        if not 0 < self.test_share <= 0.5:
            raise UsageError(f"--test-share must lie in (0, 0.5], found {self.test_share}")
        if self.max_length < 16:
            raise UsageError(f"--max-length must be at least 16, found {self.max_length}")
        if self.tune != "head":
            raise UsageError(f"--tune must be head, found {self.tune!r}")
