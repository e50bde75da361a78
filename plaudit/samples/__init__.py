"""Sample data: support-desk comparisons written for this project (see README.md beside it)."""

from importlib.resources import files
from pathlib import Path

__all__ = ["SUPPORT_DESK"]

SUPPORT_DESK = Path(str(files("plaudit.samples"))) / "support_desk.jsonl"
