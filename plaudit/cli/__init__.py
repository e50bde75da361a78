"""The command `plaudit`: one file a verb, flags from one typed config a verb."""

from plaudit.cli.main import main

__all__ = ["main"]
