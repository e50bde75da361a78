"""The app's tests stand on the store's: the same fixtures, shared by name."""

from tests.study.conftest import (  # noqa: F401
    chromium,
    postgresql,
    rows,
    server,
    sqlite_study,
    study,
    where,
)
