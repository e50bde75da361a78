"""Bases: GGUF files that are none, folders that are files, names that are neither."""

import pytest

from plaudit.errors import ModelError
from plaudit.model.download import base_folder, cache_folder, model_folder

NO_GGUF = {
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n",
    "random bytes": bytes(range(256)) * 4,
    "cut after its header": b"GGUF\x03\x00\x00\x00" + (2).to_bytes(8, "little") * 2,
    "empty": b"",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", NO_GGUF)
def test_a_gguf_that_is_none_is_one_line(tmp_path, name):
    path = tmp_path / "model.gguf"
    path.write_bytes(NO_GGUF[name])
    with pytest.raises(ModelError, match="not a GGUF file that transformers can read") as caught:
        base_folder(str(path))
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    assert "download it again" in line
    assert not any((tmp_path / "cache").rglob("config.json"))  # nothing half made


def test_names_that_are_no_model(tmp_path):
    (tmp_path / "file").write_text("")
    for name, says in (
        (str(tmp_path / "file"), "is a file; a model is a folder or a hub id"),
        (str(tmp_path / "nowhere"), "no folder .*; a model is a folder or a hub id"),
        (str(tmp_path / "no.gguf"), "no file|no folder"),
        ("owner/name-that-nobody-has", "no folder here, and the hub did not give it"),
        ("", "a model is a folder or a hub id"),
    ):
        with pytest.raises(ModelError, match=says) as caught:
            model_folder(name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="no file"):
        base_folder(str(tmp_path / "no.gguf"))


def test_an_empty_cache_variable_is_none(monkeypatch, tmp_path):
    monkeypatch.delenv("PLAUDIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "plaudit"
