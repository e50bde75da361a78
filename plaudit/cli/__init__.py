"""The command `plaudit`: one file per verb, whose flags come from typed settings."""

from plaudit.cli.main import main as main
