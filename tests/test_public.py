"""The public face: exports, lightness, the README's promises."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import plaudit
from plaudit.cli.main import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_export_loads_and_is_listed():
    assert plaudit.__all__ == ["__version__", *sorted(plaudit.EXPORTS)]
    for name in plaudit.EXPORTS:
        assert getattr(plaudit, name).__name__ == name


def test_importing_plaudit_and_help_import_no_torch_and_are_quick():
    code = (
        "import sys, plaudit, plaudit.cli; assert not {'torch','transformers'} & set(sys.modules)"
    )
    times = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - started)
    assert min(times) < 5  # a guard against torch creeping in, not a timing


def test_the_readme_lists_the_real_commands():
    listed = set(re.findall(r"^\| `plaudit (\w+)", README, re.M))
    real = {name for name in app.resolved_commands() if name.isalpha()}
    assert listed == real


def test_the_readme_tree_is_the_real_one():
    for name in re.findall(r"^    (\w+)/ ", README, re.M):
        assert (ROOT / "plaudit" / name).is_dir() or (ROOT / name).is_dir(), name


def test_the_readme_python_runs(tiny_base, tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("plaudit.config.TrainConfig.base", str(tiny_base), raising=False)
    code = code.replace('output="desk-rm"', f'output="desk-rm", base={str(tiny_base)!r}')
    from plaudit.samples import SUPPORT_DESK

    (tmp_path / "desk.jsonl").write_text(SUPPORT_DESK.read_text())
    exec(compile(code, "README", "exec"), {})
    assert (tmp_path / "desk-rm" / "plaudit.json").exists()


@pytest.mark.slow
def test_the_python_api_is_typed_as_seen_from_outside(tmp_path):
    """mypy on a script that uses the package, as a user's editor sees it."""
    command = [sys.executable, "-m", "mypy", "--strict", "examples/python_api.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import plaudit\nx: str = plaudit.as_conversation('a', 'b')\n")
    done = subprocess.run([*command[:-1], str(wrong)], capture_output=True, text=True, cwd=ROOT)
    assert "Incompatible types in assignment" in done.stdout  # the types are really seen
