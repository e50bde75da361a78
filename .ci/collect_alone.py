"""Run by CI in an environment that holds plaudit[collect] alone: no torch, and a vote is cast."""

import json
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import httpx

from plaudit.study import Study
from plaudit.study.accounts import invite

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the tests' annotators, not for plaudit
from tests.simulated import Choice, SimulatedAnnotator

assert find_spec("torch") is None, "plaudit[collect] brought torch"
plaudit_command = str(Path(sys.executable).parent / "plaudit")
with tempfile.TemporaryDirectory() as folder:
    data, desk = Path(folder) / "candidates.jsonl", str(Path(folder) / "desk.db")
    row = {"prompt": "How do I reset my password?", "responses": ["Click.", "Choose 'Forgot …'."]}
    data.write_text(json.dumps(row) + "\n")
    subprocess.run([plaudit_command, "add", desk, str(data)], check=True)
    with Study(desk) as study:
        token = study.database.transact(lambda db: invite(db, "annotator", "test"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = subprocess.Popen([plaudit_command, "collect", desk, "--port", str(port)])
    for _ in range(100):
        try:
            httpx.get(f"http://127.0.0.1:{port}/sign-in")
            break
        except httpx.TransportError:
            time.sleep(0.1)
    link = f"http://127.0.0.1:{port}/join/{token}"
    assert SimulatedAnnotator(link, lambda item: Choice("right")).run(5) == 1
    app.terminate()
    app.wait()
    exported = [plaudit_command, "export", desk, "-o", str(Path(folder) / "out")]
    subprocess.run(exported, check=True)
    assert (Path(folder) / "out" / "train.jsonl").read_text().count("\n") == 1
print("collect alone: added, judged over HTTP and exported, without torch")
