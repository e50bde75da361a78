"""The output file of `score`, and beside it what it holds: OUTPUT.state.json.

The state names model, data (a running hash of its rows) and settings, and counts the rows that
stand. So the same command resumes, also over data that has grown, and scores of another model
or of other data are never taken for this one's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from plaudit.cli.output import check_output, write_file
from plaudit.data.files import Rows
from plaudit.data.plain import json_text
from plaudit.errors import DataError, PlauditError, UsageError

STATE = ".state.json"
STDOUT = ("-", "<stdin>")
REMEDY = "name another -o, or add --overwrite to score all rows again"


class ScoreFile:
    """Lines that are added to an output, a chunk at a time.

    `done` counts the rows that stand, of earlier runs too. Raises UsageError where the file
    cannot be made or holds something else.
    """

    def __init__(
        self,
        output: str,
        model: tuple[str, str],
        data: str,
        settings: Mapping[str, Any],
        overwrite: bool = False,
    ) -> None:
        """`model` is its name and hash; `settings` are what else the scores depend on."""
        self.output, self.data, self.done = output, data, 0
        self.settings = {"model": dict(zip(("name", "sha256"), model, strict=True)), **settings}
        self._rows, self._expected = sha256(), ""
        path = Path(output)
        self._state_path = Path(output + STATE)
        # Standard output, a device and a pipe keep nothing, so they have no state.
        device = path.exists() and not path.is_file() and not path.is_dir()
        self.kept = output not in STDOUT and not device
        if output not in STDOUT:
            check_output(output)
        if path.exists() and Path(data).exists() and path.samefile(data):
            raise UsageError(f"{output} is the data itself: name another -o")
        self._fresh = overwrite  # what is there goes when the first new rows are written
        if self.kept and not overwrite and path.exists() and path.stat().st_size:
            self._resume(path)

    def _resume(self, path: Path) -> None:
        """Keep the rows that the state counts; cut what came after them."""
        try:
            state = json.loads(self._state_path.read_text(encoding="utf-8"))
            done, was = int(state["data"]["rows"]), dict(state["settings"])
            self._expected = str(state["data"]["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            raise UsageError(
                f"{path} is there, and no {self._state_path.name} says what it holds: {REMEDY}"
            ) from None
        for name, now in self.settings.items():
            before = was.get(name)
            if isinstance(now, dict) and isinstance(before, dict):  # the model, by its hash
                same = now["sha256"] == before.get("sha256")
            else:
                same = now == before
            if not same:
                told = ", ".join(map(str, before.values())) if isinstance(before, dict) else before
                raise UsageError(
                    f"{path} holds {done:,} rows scored with another {name} ({told}): {REMEDY}"
                )
        with path.open("rb+") as file:
            lengths = [len(line) for line in islice(file, done)]
            if len(lengths) < done:
                raise UsageError(f"{path} holds fewer rows than its state says: {REMEDY}")
            file.truncate(sum(lengths))
        self.done = done

    def skip(self, source: Rows) -> None:
        """Pass over the rows that stand; raises UsageError where they are other rows."""
        passed = sum(1 for row in islice(source, self.done) if self._note(row))
        if self.done and (passed < self.done or self._rows.hexdigest() != self._expected):
            raise UsageError(f"{self.output} holds scores of other data: {REMEDY}")

    def add(self, rows: Sequence[tuple[Any, Any]], lines: Sequence[Mapping[str, Any]]) -> None:
        """Write the lines of these rows, then what stands. Raises PlauditError on a full disk."""
        text = "".join(json_text(line) + "\n" for line in lines)
        try:
            if self.output in STDOUT:
                sys.stdout.write(text)
                sys.stdout.flush()
            else:
                if self._fresh and self.kept:
                    self._state_path.unlink(missing_ok=True)
                mode = "w" if self._fresh else "a"
                with Path(self.output).open(mode, encoding="utf-8", newline="\n") as file:
                    file.write(text)
                self._fresh = False
        except BrokenPipeError:
            raise
        except OSError as error:
            told = f"; {self.done:,} rows stand, and the same command resumes after them"
            raise PlauditError(
                f"{self.output}: cannot be written: {error.strerror}{told if self.kept else ''}"
            ) from error
        self.done += sum(1 for row in rows if self._note(row))
        if self.kept:
            data = {"name": self.data, "rows": self.done, "sha256": self._rows.hexdigest()}
            state = {"settings": self.settings, "data": data}
            write_file(self._state_path, json_text(state, indent=2) + "\n")

    def _note(self, row: tuple[Any, Any]) -> bool:
        self._rows.update(json_text(row[1]).encode() + b"\n")
        return True


def model_hash(folder: Path) -> str:
    """SHA-256 over a model folder's weights, settings and tokenizer."""
    total = sha256()
    files = [p for p in sorted(folder.glob("*")) if p.suffix in (".safetensors", ".json", ".jinja")]
    if not files:
        raise DataError(f"{folder} holds no model")
    for path in files:
        if path.name != "report.json":
            total.update(path.name.encode())
            with path.open("rb") as file:
                while part := file.read(1 << 20):
                    total.update(part)
    return total.hexdigest()
