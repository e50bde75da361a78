"""`plaudit collect`: the judging app of a study."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from plaudit.cli.add import COLLECT
from plaudit.cli.output import say
from plaudit.config import AddConfig, CollectConfig
from plaudit.errors import UsageError, require
from plaudit.samples import ANSWERS, GUIDELINE, QUESTION, SUPPORT_DESK

if TYPE_CHECKING:
    from plaudit.study import Study


def collect(
    study: str | None = None,
    *,
    config: Annotated[CollectConfig, Parameter(name="*")] = CollectConfig(),
    demo: Annotated[bool, Parameter(negative="")] = False,
    owner_link: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Show a study's comparisons to people in the browser.

    The first start prints a link that makes whoever opens it the owner; it works once, and no
    password is needed.

    Parameters
    ----------
    study: str
        A SQLite file, made if it is not there, or a postgresql:// URL.
    demo: bool
        Use a new study with the sample prompts, in a temporary folder that is printed.
    owner_link: bool
        Print a new owner's link, for an owner who is locked out.
    """
    require("collect", *COLLECT, what="plaudit collect")
    if study is None and not demo:
        raise UsageError("collect needs a study: plaudit collect desk.db (or --demo)")
    from plaudit.study import Study

    where = study or str(Path(tempfile.mkdtemp(prefix="plaudit-demo-")) / "demo.db")
    with Study(where) as store:
        if demo:
            _fill_with_samples(store)
            say(f"A demo study with the sample prompts: {where}")
        _say_where(store, config, owner_link or demo)
        _serve(store, config)


def _fill_with_samples(store: Study) -> None:
    store.compare(QUESTION, ANSWERS, in_order=True)
    store.add(SUPPORT_DESK, AddConfig(labels="ignore"))
    store.write_guideline(GUIDELINE.read_text(encoding="utf-8"))


def _say_where(store: Study, config: CollectConfig, owner_link: bool) -> None:
    """Print the address, with an owner's link where there is no owner yet or one is asked for."""
    from plaudit.study.accounts import invite, owners

    base = f"http://{_shown(config.host)}:{config.port}{config.root_path}"
    with store.database.write() as db:
        wanted = owner_link or not owners(db)
        token = invite(db, "owner", "command line", seconds=24 * 3600) if wanted else ""
    if token:
        say(
            "Open this link to become the study's owner; it works once, within 24 hours:\n\n"
            f"  {base}/join/{token}\n"
        )
    else:
        say(f"Judging at {base}/")
    if config.host not in ("127.0.0.1", "::1", "localhost") and not config.https:
        say(
            "Other machines can reach this address, and without https what is sent can be read "
            "on the way: put a proxy with https in front and add --https"
        )
    say("Stop with Ctrl-C; every judgment is saved as it is given.")


def _serve(store: Study, config: CollectConfig) -> None:
    import uvicorn

    from plaudit.study_app.app import create_app

    # Counting for the owner's page must not keep a vote waiting for the interpreter.
    sys.setswitchinterval(0.001)
    uvicorn.run(
        create_app(store, config),
        host=config.host,
        port=config.port,
        log_level=os.environ.get("PLAUDIT_LOG", "warning"),
        proxy_headers=True,
        server_header=False,
        access_log=False,
        timeout_keep_alive=75,  # people read longer than the default of 5 s
    )


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else "127.0.0.1" if host == "0.0.0.0" else host
