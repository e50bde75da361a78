"""`plaudit collect`: the judging app of a study."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from plaudit.cli.add import COLLECT
from plaudit.cli.output import say
from plaudit.config import AddConfig, CollectConfig
from plaudit.errors import UsageError, require
from plaudit.samples import ANSWERS, GUIDELINE, QUESTION, SUPPORT_DESK

if TYPE_CHECKING:
    from sqlalchemy import Connection

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
    from plaudit.web.server import listen

    # Before anything is made: a port in use must leave no study and no link behind.
    with listen(config.host, config.port) as port:
        where = study or str(Path(tempfile.mkdtemp(prefix="plaudit-demo-")) / "demo.db")
        with Study(where) as store:
            if demo:
                _fill_with_samples(store)
                say(f"A demo study with the sample prompts: {where}")
            _say_where(store, config, port.getsockname()[1], owner_link or demo)
            _serve(store, config, port)


def _fill_with_samples(store: Study) -> None:
    store.compare(QUESTION, ANSWERS, in_order=True)
    store.add(SUPPORT_DESK, AddConfig(labels="ignore"))
    store.write_guideline(GUIDELINE.read_text(encoding="utf-8"))


def _say_where(store: Study, config: CollectConfig, port: int, owner_link: bool) -> None:
    """Print the address, with an owner's link where no owner could come in without one."""
    base = f"http://{_shown(config.host)}:{port}{config.root_path}"
    token, what = store.database.transact(lambda db: _way_in(db, owner_link))
    if token:
        say(f"{what}\n\n  {base}/join/{token}\n")
    else:
        say(f"Judging at {base}/ (owners sign in there; locked out? add --owner-link)")
    if config.host not in ("127.0.0.1", "::1", "localhost") and not config.https:
        say(
            "Other machines can reach this address, and without https what is sent can be read "
            "on the way: put a proxy with https in front and add --https"
        )
    say("Stop with Ctrl-C; every judgment is saved as it is given.")


def _way_in(db: Connection, wanted: bool) -> tuple[str, str]:
    """A link's token and what it does: for a new owner, or for the one without a password."""
    from plaudit.study.accounts import invite, return_link
    from plaudit.study.owners import first_owner, unlocked_owners

    owner = first_owner(db)
    if wanted or owner is None:
        token = invite(db, "owner", "command line", seconds=24 * 3600)
        return token, (
            "Open this link to become the study's owner; it works once, within 24 hours:"
        )
    if not unlocked_owners(db):
        return return_link(db, owner.id, "command line"), (
            f"No owner has a password. If the browser of {owner.pseudonym} has forgotten them, "
            f"this link leads back in as {owner.pseudonym}; it works once, within 7 days:"
        )
    return "", ""


def _serve(store: Study, config: CollectConfig, port: socket) -> None:
    from plaudit.study_app.app import create_app
    from plaudit.web.server import make_server

    # Counting for the owner's page must not keep a vote waiting for the interpreter.
    sys.setswitchinterval(0.001)
    server = make_server(
        create_app(store, config),
        hosts=(config.host, *config.host_name),
        proxies=config.trusted_proxy,
        log_level=os.environ.get("PLAUDIT_LOG", "warning"),
    )
    server.run(sockets=[port])


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
