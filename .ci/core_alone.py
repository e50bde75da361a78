"""Run by CI in a bare environment that holds the core alone: what it can do without extras."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import plaudit
from plaudit.data import read

plaudit_command = str(Path(sys.executable).parent / "plaudit")
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "pairs.jsonl"
    path.write_text(json.dumps({"prompt": "Hi", "chosen": "Hello!", "rejected": "No."}) + "\n")
    slates = list(read(str(path)))
    assert slates[0].preferred == (0,), slates
    table = Path(folder) / "pairs.csv"
    table.write_text("prompt,response_1,response_2,label\nHi,Hello!,No.,1\nBye,No.,Bye!,2\n")
    assert [slate.preferred for slate in read(str(table))] == [(0,), (1,)]
    checked = subprocess.run([plaudit_command, "check", str(path)], capture_output=True, text=True)
    assert checked.returncode == 0, checked
    train = [plaudit_command, "train", str(path), "-o", folder]
    refused = subprocess.run(train, capture_output=True, text=True)
    assert refused.returncode == 2, refused
    lines = refused.stderr.strip().splitlines()
    assert len(lines) == 1, refused.stderr
    assert "pip install 'plaudit[model]'" in lines[0], refused.stderr
    collect = subprocess.run([plaudit_command, "collect", "x.db"], capture_output=True, text=True)
    assert collect.returncode == 2, collect
    assert "pip install 'plaudit[collect]'" in collect.stderr, collect.stderr
assert "torch" not in sys.modules
print(f"core alone: plaudit {plaudit.__version__} reads, checks, and says: {lines[0]}")
