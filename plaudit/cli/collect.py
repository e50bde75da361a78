"""`plaudit collect`: the judging app of a study."""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from plaudit.cli.add import COLLECT
from plaudit.cli.output import say
from plaudit.config import AddConfig, CollectConfig
from plaudit.errors import UsageError, require
from plaudit.samples import ANSWERS, GUIDELINE, QUESTION, SUPPORT_DESK

__all__ = ["collect"]


def collect(
    study: str | None = None,
    *,
    config: Annotated[CollectConfig, Parameter(name="*")] = CollectConfig(),
    demo: Annotated[bool, Parameter(negative="")] = False,
    owner_link: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Show a study's comparisons to people in the browser.

    The first start prints a link that makes its one user the owner; there is no password to
    begin with.

    Parameters
    ----------
    study: str
        A SQLite file, made if it is not there, or a postgresql:// URL.
    demo: bool
        Use a fresh study with the sample prompts; kept where it says.
    owner_link: bool
        Print a new owner's link, for an owner who is locked out.
    """
    require("collect", *COLLECT, what="plaudit collect")
    if study is None and not demo:
        raise UsageError("collect needs a study: plaudit collect desk.db (or --demo)")
    collection: Any = import_module("plaudit.study")
    people: Any = import_module("plaudit.study.accounts")
    where = study or str(Path(tempfile.mkdtemp(prefix="plaudit-demo-")) / "demo.db")
    store = collection.Study(where)
    if demo:
        store.compare(QUESTION, ANSWERS, in_order=True)
        store.add(SUPPORT_DESK, AddConfig(labels="ignore"))
        store.write_guideline(GUIDELINE.read_text(encoding="utf-8"))
        say(f"A demo study with the sample prompts: {where}")
    with store.database.read() as db:
        owners = people.owners(db)
    base = f"http://{_shown(config.host)}:{config.port}{config.root_path}"
    if owner_link or demo or not owners:
        token = store.database.transact(
            lambda db: people.invite(db, "owner", "command line", seconds=24 * 3600)
        )
        say(
            "Open this link to own the study; it works once, for 24 hours:\n\n"
            f"  {base}/join/{token}\n"
        )
    else:
        say(f"Judging at {base}/")
    if config.host not in ("127.0.0.1", "::1", "localhost") and not config.https:
        say(
            "Reached from other machines without https: "
            "put a proxy with https before it, and --https"
        )
    say("Stop it with Ctrl-C; nothing is lost by that.")
    # Counting for the owner's page must not keep a vote waiting for its turn of the interpreter.
    sys.setswitchinterval(0.001)
    app = import_module("plaudit.study_app.app").create_app(store, config)
    import_module("uvicorn").run(
        app,
        host=config.host,
        port=config.port,
        log_level=os.environ.get("PLAUDIT_LOG", "warning"),
        proxy_headers=True,
        server_header=False,
        access_log=False,
        timeout_keep_alive=75,  # people read longer than the default of 5 s
    )
    store.close()


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else "127.0.0.1" if host == "0.0.0.0" else host
