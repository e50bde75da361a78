"""The output is checked before training, and written whole or not at all."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import plaudit
from plaudit import train
from plaudit.errors import ModelError, UsageError
from plaudit.training import output as module
from plaudit.training.output import check_output, check_space, written_whole

from .test_training import write_data


def test_an_output_that_cannot_be_is_refused_before_anything_is_read(tmp_path):
    file = tmp_path / "taken"
    file.write_text("x")
    with pytest.raises(UsageError, match="taken is a file; name a folder"):
        train("no such data", file)
    with pytest.raises(UsageError, match="under cannot be written"):
        train("no such data", file / "under")
    with pytest.raises(UsageError, match="not empty and holds no model of plaudit"):
        train("no such data", tmp_path)
    with pytest.raises(UsageError, match="cannot be written: /proc"):
        check_output(module.Path("/proc/plaudit-model"))


def test_a_disk_without_space_is_refused_before_the_pass(tmp_path):
    with pytest.raises(ModelError, match=r"takes up to 1000000000.0 GB, .* GB are free"):
        check_space(tmp_path / "a" / "b", 10**18)


def test_a_disk_that_fills_up_leaves_nothing_and_spares_the_earlier_model(tmp_path):
    folder = tmp_path / "rm"

    def save(text, error=None):
        with written_whole(folder) as scratch:
            (scratch / "plaudit").mkdir()
            (scratch / "plaudit" / "posterior").write_text(text)
            (scratch / "plaudit.json").write_text(json.dumps({"files": {f"{text}.bin": ""}}))
            (scratch / f"{text}.bin").write_text(text)
            if error:
                raise error

    full = OSError(28, "No space left on device")
    with pytest.raises(ModelError, match="rm: No space left on device; nothing there was changed"):
        save("one", full)
    assert not folder.exists()
    save("one")
    (folder / "mine.txt").write_text("kept")
    with pytest.raises(ModelError, match="No space left"):
        save("two", full)
    with pytest.raises(KeyboardInterrupt):
        save("two", KeyboardInterrupt())
    assert (folder / "one.bin").read_text() == "one"
    save("two")
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {"two.bin", "plaudit.json", "plaudit/posterior", "mine.txt"}


def test_the_model_card_says_what_it_is_and_its_code_runs(tmp_path, tiny_base):
    data = write_data(tmp_path / "d.jsonl")
    trained = train(data, tmp_path / "rm", base=str(tiny_base), layer="2", dtype="float32")
    card = (tmp_path / "rm" / "README.md").read_text()
    assert "240 comparisons over 240 prompts" in card
    assert str(tiny_base) not in card  # a path of one machine says nothing on another
    accuracy = trained.report.numbers["accuracy"]
    assert f"| accuracy | {accuracy.value:.3f} | {accuracy.low:.3f} to" in card
    code = "\n".join(re.findall(r"```python\n(.*?)```", card, re.S))
    # Installed for editing, plaudit would be hidden by the model's folder of the same name.
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "rm", capture_output=True, text=True, env=here
    )
    assert done.returncode == 0, done.stderr
    scores = [float(line.strip("[]tensor()").split(",")[0]) for line in done.stdout.splitlines()]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_the_contract_knows_its_prompts_and_is_json(tmp_path, tiny_base):
    data = write_data(tmp_path / "d.jsonl", 60)
    train(data, tmp_path / "rm", base=str(tiny_base), layer="2", dtype="float32")

    def refuse(value):
        raise AssertionError(value)

    text = (tmp_path / "rm" / "plaudit.json").read_text()
    contract = json.loads(text, parse_constant=refuse)
    prompts = [plaudit.types.messages_id(slate.prompt) for slate in plaudit.read(data)]
    assert contract["training_prompts"] == sorted(set(prompts))
    json.loads((tmp_path / "rm" / "report.json").read_text(), parse_constant=refuse)
