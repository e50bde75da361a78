"""Every error that plaudit raises on purpose.

    PlauditError                 root: catch this one
    ├── UsageError               wrong flag, wrong setting, a missing extra    (exit code 2)
    │   └── MissingExtraError    the verb needs `pip install 'plaudit[extra]'`
    ├── DataError                unreadable, unrecognised or unusable data     (exit code 1)
    └── ModelError               a base, checkpoint or model that will not do  (exit code 1)
        ├── CheckpointError      the folder is not what its contract says
        └── CacheError           cached features cannot be written

A message says where, what was found, what is allowed and what to do.

    try:
        scorer = plaudit.load("model")
    except plaudit.errors.PlauditError as error:
        print(error)
"""

from importlib.util import find_spec

__all__ = [
    "CacheError",
    "CheckpointError",
    "DataError",
    "MissingExtraError",
    "ModelError",
    "PlauditError",
    "UsageError",
    "first_line",
    "require",
]


class PlauditError(Exception):
    """Root of plaudit's errors; `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(PlauditError):
    """A flag or setting that cannot be used as given."""

    exit_code = 2


class MissingExtraError(UsageError):
    """A part of plaudit whose optional packages are not installed."""


class DataError(PlauditError):
    """Data that cannot be read, recognised or used."""


class ModelError(PlauditError):
    """A base or model that cannot be used."""


class CheckpointError(ModelError):
    """A saved model that is not what its contract (`plaudit.json`) says."""


class CacheError(ModelError):
    """Cached features that cannot be written."""


def first_line(error: Exception) -> str:
    """Another library's error in one line: its type and the first line of what it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else 'no reason given'}"


def require(extra: str, *packages: str, what: str) -> None:
    """Raise MissingExtraError, naming the extra, unless every package can be imported."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"{what} needs {', '.join(missing)}: pip install 'plaudit[{extra}]'"
        )
