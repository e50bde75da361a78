"""Preference data: read any format, check it, split it without leaks, turn it into Pairs."""

from plaudit.data.labels import Tally, pairs_of
from plaudit.data.reading import Reading, read
from plaudit.data.split import Split, split

__all__ = ["Reading", "Split", "Tally", "pairs_of", "read", "split"]
