"""Cached features: one pass of the backbone, kept on disk by content.

A sequence's features depend on its token ids, the backbone's weights, the dtype and the
engine. The last three name a folder; the ids' hash names a row of a shard in it. So a run with
50 more labels computes 50 more labels' worth, an interrupted pass resumes at its last shard,
and a shard whose checksum fails is thrown away and computed again.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from plaudit.errors import CacheError
from plaudit.model.download import cache_folder
from plaudit.model.engine import ROW_TOKENS, Engine, SelfCheck
from plaudit.model.prefix_tree import Ids, pack

ENGINE = "2"  # raise when the pass computes something else
SHARD = 256
FLOAT16_MAX = 6e4

Progress = Callable[[int, int], None]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Features:
    """Features of N sequences at some layers; a layer is read from disk when asked for."""

    places: Sequence[tuple[Path, int]]
    layers: tuple[int, ...]
    computed: int  # sequences that this call ran the backbone on

    def layer(self, number: int) -> Floats:
        """[N, d] float32 features of one layer."""
        rows: dict[Path, list[int]] = {}
        for index, (path, _) in enumerate(self.places):
            rows.setdefault(path, []).append(index)
        found: Floats | None = None
        for path, members in rows.items():
            values = _read(path, str(number))
            if found is None:
                found = np.empty((len(self.places), values.shape[1]), np.float32)
            found[members] = values[[self.places[index][1] for index in members]]
        assert found is not None
        return found


@dataclass
class FeatureCache:
    """The features of one backbone in one dtype."""

    folder: Path
    index: dict[bytes, list[tuple[Path, int]]] = field(default_factory=dict)
    layers: dict[Path, frozenset[int]] = field(default_factory=dict)
    discarded: list[Path] = field(default_factory=list)

    @classmethod
    def open(cls, weights: str, dtype: str, packed: bool, root: Path | None = None) -> FeatureCache:
        """The cache of a backbone named by the hash of its weights."""
        cache = cls((root or features_folder()) / _identity(weights, dtype, packed))
        for path in sorted(cache.folder.glob("*.safetensors")):
            cache._add(path)
        return cache

    def features(
        self,
        engine: Engine,
        sequences: Sequence[Ids],
        layers: Sequence[int],
        progress: Progress | None = None,
    ) -> Features:
        """Features of sequences at layers, computing only what the cache lacks.

        Raises CacheError where the cache cannot be written.
        """
        keys = [blake2b(ids.tobytes(), digest_size=16).digest() for ids in sequences]
        wanted = frozenset(layers)
        missing: dict[bytes, Ids] = {
            key: ids
            for key, ids in zip(keys, sequences, strict=True)
            if self._place(key, wanted) is None
        }
        if missing:
            self._check_folder(len(missing), len(layers), engine.width)
            self._compute(engine, missing, sorted(wanted), progress)
        places = [self._place(key, wanted) for key in keys]
        return Features([place for place in places if place], tuple(sorted(wanted)), len(missing))

    def holds(self, ids: Ids, layers: Sequence[int]) -> bool:
        """Whether a sequence's features at these layers are cached."""
        key = blake2b(ids.tobytes(), digest_size=16).digest()
        return self._place(key, frozenset(layers)) is not None

    def _place(self, key: bytes, wanted: frozenset[int]) -> tuple[Path, int] | None:
        return next((p for p in self.index.get(key, []) if wanted <= self.layers[p[0]]), None)

    def _compute(
        self,
        engine: Engine,
        missing: dict[bytes, Ids],
        layers: Sequence[int],
        progress: Progress | None,
    ) -> None:
        packed = engine.packing.packed
        keys, sequences = list(missing), list(missing.values())
        total, done = tokens_run(sequences, packed), 0
        pending: list[tuple[bytes, Floats]] = []
        try:
            for indices, values in engine.features(sequences, layers):
                rows = values.cpu().numpy()
                pending += [(keys[i], row) for i, row in zip(indices, rows, strict=True)]
                if len(pending) >= SHARD:
                    self._write(pending, layers)
                    pending = []
                if progress is not None:
                    done += tokens_run([sequences[i] for i in indices], packed)
                    progress(min(done, total), total)
        finally:  # an interruption keeps what was computed
            if pending:
                self._write(pending, layers)

    def _write(self, pending: list[tuple[bytes, Floats]], layers: Sequence[int]) -> None:
        """A shard appears under its name whole or not at all."""
        values = np.stack([row for _, row in pending], axis=1)  # [layers, n, d]
        if not np.isfinite(values).all():
            raise CacheError("the backbone gave features that are not finite; try --dtype float32")
        kind = np.float16 if np.abs(values).max() < FLOAT16_MAX else np.float32
        tensors: dict[str, NDArray[Any]] = {
            str(layer): np.ascontiguousarray(v)
            for layer, v in zip(layers, values.astype(kind), strict=True)
        }
        tensors["keys"] = np.frombuffer(b"".join(k for k, _ in pending), np.uint8).reshape(-1, 16)
        sums = {name: str(zlib.crc32(tensor.tobytes())) for name, tensor in tensors.items()}
        name = blake2b(tensors["keys"].tobytes(), digest_size=10).hexdigest()
        path = self.folder / f"{name}-{len(layers)}.safetensors"
        try:
            handle, scratch = tempfile.mkstemp(dir=self.folder, suffix=".part")
            os.close(handle)
            try:
                save_file(tensors, scratch, metadata=sums)
                os.replace(scratch, path)
            finally:
                Path(scratch).unlink(missing_ok=True)
        except (OSError, SafetensorError) as error:
            raise CacheError(
                f"cannot write features to {self.folder}: {error}. Free some space, or set "
                "PLAUDIT_FEATURES to a folder with more; what was computed so far is kept"
            ) from error
        self._add(path)

    def _add(self, path: Path) -> None:
        """Index a shard; one that cannot be trusted is removed and computed again."""
        try:
            with safe_open(path, framework="np") as file:
                names = [name for name in file.keys() if name != "keys"]  # noqa: SIM118
            for name in names:
                _read(path, name)
            keys = _read(path, "keys")
        except (SafetensorError, OSError, ValueError, KeyError):
            self.discarded.append(path)
            path.unlink(missing_ok=True)
            return
        self.layers[path] = frozenset(map(int, names))
        for row, key in enumerate(keys):
            self.index.setdefault(key.tobytes(), []).append((path, row))

    def _check_folder(self, count: int, layers: int, width: int) -> None:
        """Before the backbone runs: the folder takes files, and its disk has the space."""
        need = 2 * count * layers * width + (64 << 20)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise CacheError(
                f"cannot write features to {self.folder}: {error.strerror}; set PLAUDIT_FEATURES "
                "to a folder that can be written"
            ) from error
        if free < need:
            raise CacheError(
                f"features need {need / 1e9:.1f} GB in {self.folder}, {free / 1e9:.1f} GB are "
                "free; free some space, or set PLAUDIT_FEATURES to a folder with more"
            )


def _read(path: Path, name: str) -> NDArray[Any]:
    """One tensor of a shard; raises ValueError when its checksum is not the stored one."""
    with safe_open(path, framework="np") as file:
        tensor: NDArray[Any] = file.get_tensor(name)
        expected = (file.metadata() or {}).get(name)
    if str(zlib.crc32(np.ascontiguousarray(tensor).tobytes())) != expected:
        raise ValueError(f"{path}: checksum of {name} differs")
    return tensor


def features_folder() -> Path:
    """Where features are kept: $PLAUDIT_FEATURES, or a folder of plaudit's cache."""
    given = os.environ.get("PLAUDIT_FEATURES")  # empty counts as not set
    return Path(given).expanduser() if given else cache_folder() / "features"


def known_self_check(engine: Engine, weights: str, dtype: str) -> SelfCheck:
    """The packed pass's self-check on this backbone, from an earlier run with these versions."""
    identity = _identity(weights, dtype, torch.__version__, transformers.__version__)
    path = features_folder() / f"self-check-{identity}.json"
    try:
        return SelfCheck(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        found = engine.packing
    with suppress(OSError):  # where nothing can be written, the pass says so
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found._asdict()))
    return found


def _identity(*parts: str | bool) -> str:
    return sha256(json.dumps([ENGINE, *parts]).encode()).hexdigest()[:20]


def tokens_run(sequences: Sequence[Ids], packed: bool) -> int:
    """Tokens that the pass really runs for these sequences: packed, shared prefixes once."""
    if packed:
        return sum(len(row.ids) for row in pack(sequences, ROW_TOKENS))
    return sum(map(len, sequences))
