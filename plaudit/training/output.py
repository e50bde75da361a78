"""The folder of a saved model: checked before training, and written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from plaudit.errors import ModelError, UsageError

CONTRACT = "plaudit.json"
MADE = ("README.md", "report.json")  # what train writes beside the files the contract lists


def check_output(folder: Path) -> None:
    """Raise UsageError on an output that could not be written, or that holds something else."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {folder} is a file; name a folder that is new or empty")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONTRACT).is_file():
        raise UsageError(f"-o {folder} is not empty and holds no plaudit model; name a new folder")
    there = nearest(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UsageError(f"-o {folder} cannot be written: {there}: {error.strerror}") from None


def nearest(folder: Path) -> Path:
    """The folder itself or, where it is not there yet, the nearest one above it that is."""
    return next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())


def check_space(folder: Path, needed: int) -> None:
    """Raise ModelError where the disk has not the space for a model of `needed` bytes."""
    free = shutil.disk_usage(nearest(folder)).free
    if free < needed:
        raise ModelError(
            f"-o {folder}: a model of this base takes up to {needed / 1e9:.1f} GB, "
            f"{free / 1e9:.1f} GB are free; free some space, or name a folder with more"
        )


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A scratch folder whose files become those of `folder` at the end, the contract last.

    On an error nothing of it stays and a model saved there before is untouched. Raises
    ModelError where the disk does not take it.
    """
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))
        try:
            yield scratch
            _remove_earlier(folder)
            made = [path.relative_to(scratch) for path in scratch.rglob("*") if path.is_file()]
            for name in sorted(made, key=lambda name: name.name == CONTRACT):
                (folder / name).parent.mkdir(exist_ok=True)
                os.replace(scratch / name, folder / name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise ModelError(
            f"cannot save the model to {folder}: {reason}; nothing there was changed"
        ) from error
    except BaseException:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _remove_earlier(folder: Path) -> None:
    """Remove the files of a model saved here before, and no others."""
    contract = folder / CONTRACT
    if not contract.is_file():
        return
    try:
        listed = list(json.loads(contract.read_text(encoding="utf-8")).get("files", {}))
    except (ValueError, AttributeError):
        listed = []
    contract.unlink()
    for name in (*listed, *MADE):
        if not Path(name).is_absolute() and ".." not in Path(name).parts:
            (folder / name).unlink(missing_ok=True)
