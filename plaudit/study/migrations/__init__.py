"""The schema's history: each step frozen as SQL, so that it never follows the tables of today."""

from pathlib import Path

from sqlalchemy import Connection, text


def run_script(connection: Connection, name: str, **types: str) -> None:
    """Run the statements of a file in `versions`, with its types by another name where given.

    An empty line parts them.
    """
    script = (Path(__file__).parent / "versions" / name).read_text(encoding="utf-8")
    for word, other in types.items():
        script = script.replace(word, other)
    for statement in script.split("\n\n"):
        connection.execute(text(statement))
