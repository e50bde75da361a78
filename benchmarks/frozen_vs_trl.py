"""`plaudit train` against TRL's RewardTrainer, backbone frozen: file to saved model.

    python benchmarks/frozen_vs_trl.py DATA [--json FILE]      both, TRL's speed from a sample
    python benchmarks/frozen_vs_trl.py DATA --only-plaudit     the first run and a refit
    python benchmarks/frozen_vs_trl.py DATA --full FOLDER      TRL's whole run, for its accuracy

Same data, same split, same base, same machine, one run. TRL gets its faster precision of the
two (measured here), padding to the longest of each batch, no gradient checkpointing (the
backbone has no gradients), and three epochs at its default learning rate.

--full takes about 40 minutes of two cores, so it keeps checkpoints in FOLDER and resumes from the last
of them. It runs in bf16 autocast, TRL's default: float32 weights, so that rounding of the head's
small steps does not cost it accuracy; and its batches group pairs of like length, which spares
padding. What it saved is judged as plaudit's model is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import RewardConfig, RewardTrainer

import plaudit
from plaudit.data import pairs_of, read, split
from plaudit.evaluation.metrics import judged, measure
from plaudit.model.download import base_folder
from plaudit.types import Pair

EPOCHS = 3
BATCH = 8


def as_rows(pairs: list[Pair]) -> Dataset:
    rows = []
    for pair in pairs:
        shared = pair.a.chat()[:-1]
        chosen, rejected = (pair.a, pair.b) if pair.p >= 0.5 else (pair.b, pair.a)
        rows.append(
            {
                "prompt": shared,
                "chosen": chosen.chat()[-1:],
                "rejected": rejected.chat()[-1:],
                "length": max(len(repr(side.messages)) for side in (chosen, rejected)),
            }
        )
    return Dataset.from_list(rows)


class Clock(TrainerCallback):
    """Seconds of each step after the first three."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.start = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.times.append(time.perf_counter() - self.start)


def trl_trainer(
    train: list[Pair], precision: str, steps: int, folder: str, callbacks: list[TrainerCallback]
) -> RewardTrainer:
    """TRL's trainer with the backbone frozen; -1 steps are whole epochs, with checkpoints."""
    base = base_folder("smollm2")
    dtype = torch.bfloat16 if precision == "pure bf16" else torch.float32
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = "<empty_output>"
    model.base_model.requires_grad_(False)
    config = RewardConfig(
        output_dir=folder,
        per_device_train_batch_size=BATCH,
        num_train_epochs=EPOCHS,
        max_steps=steps,
        max_length=2048,
        bf16=precision == "bf16 autocast",
        gradient_checkpointing=False,
        logging_steps=5,
        train_sampling_strategy="group_by_length" if steps < 0 else "random",
        remove_unused_columns=False,  # the sampler reads `length`
        save_strategy="steps" if steps < 0 else "no",
        save_steps=25,
        save_total_limit=1,
        report_to="none",
        use_cpu=True,
        seed=0,
    )
    return RewardTrainer(
        model=model,
        args=config,
        train_dataset=as_rows(train),
        processing_class=tokenizer,
        callbacks=callbacks,
    )


def trl_rate(train: list[Pair], precision: str, steps: int, folder: str) -> float:
    """Pairs a second over a few steps, without the first."""
    clock = Clock()
    trl_trainer(train, precision, steps, folder, [clock]).train()
    times = clock.times[1:]
    return BATCH * len(times) / sum(times)


def whole_trl_run(train: list[Pair], test: list[Pair], folder: str) -> dict[str, Any]:
    """Held-out figures of the model that TRL's whole run saves."""
    trainer = trl_trainer(train, "bf16 autocast", -1, folder, [])
    started = time.process_time()
    trainer.train(resume_from_checkpoint=get_last_checkpoint(folder))
    seconds = time.process_time() - started
    model = str(Path(folder) / "model")
    trainer.save_model(model)
    scorer = plaudit.load(model)
    scores = scorer.score([side for pair in test for side in (pair.a, pair.b)])
    seen = judged(test, scores.mean[0::2] - scores.mean[1::2])
    return {
        "cpu_seconds_since_the_checkpoint": seconds,
        "held_out_pairs": len(test),
        "accuracy": measure(seen, "accuracy")._asdict(),
        "log-loss": measure(seen, "log-loss")._asdict(),
        "log": trainer.state.log_history,
    }


def run_plaudit(data: str, work: Path, name: str) -> float:
    """Seconds of the command, from file to saved model, in a process of its own."""
    command = [sys.executable, "-m", "plaudit", "train", data, "-o", str(work / name), "--json"]
    environment = os.environ | {"PLAUDIT_FEATURES": str(work / "features")}
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    seconds = time.perf_counter() - started
    (work / f"{name}.json").write_bytes(done.stdout)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--full", metavar="FOLDER", default=None)
    parser.add_argument("--only-plaudit", action="store_true")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    pairs = pairs_of(read(options.data))
    sides = split(pairs)
    train, test = [pairs[i] for i in sides.train], [pairs[i] for i in sides.test]
    if options.full:
        print(json.dumps(whole_trl_run(train, test, options.full), indent=2))
        return
    with tempfile.TemporaryDirectory() as scratch:
        if options.only_plaudit:
            result = run_twice(options.data, Path(scratch))
        else:
            result = compare(options.data, train, test, options.steps, Path(scratch))
    print(json.dumps(result, indent=2))
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n")


def compare(
    data: str, train: list[Pair], test: list[Pair], steps: int, work: Path
) -> dict[str, Any]:
    rates = {
        precision: trl_rate(train, precision, steps, str(work / "trl"))
        for precision in ("fp32", "bf16 autocast", "pure bf16")
    }
    best = max(rates, key=lambda name: rates[name])
    trl_seconds = EPOCHS * len(train) / rates[best]
    result = run_twice(data, work)
    return {
        "train_pairs": len(train),
        "held_out_pairs": len(test),
        "trl_pairs_per_s": rates,
        "trl_seconds_for_3_epochs": trl_seconds,
        "times_faster": trl_seconds / result["plaudit_seconds"],
        **result,
    }


def run_twice(data: str, work: Path) -> dict[str, Any]:
    """plaudit from file to saved model, and again with 50 more labels."""
    first = run_plaudit(data, work, "first")
    result = {
        "plaudit_seconds": first,
        "plaudit_held_out": json.loads((work / "first.json").read_text())["held_out"],
    }
    more = with_new_labels(data, work)
    if more is not None:
        result["refit_seconds_after_50_labels"] = run_plaudit(more, work, "second")
        result["refit_share"] = result["refit_seconds_after_50_labels"] / first
    return result


def with_new_labels(data: str, work: Path) -> str | None:
    """A copy of a .jsonl.gz with 50 more labels, whose responses are new text."""
    import gzip

    path = Path(data)
    if not path.name.endswith(".jsonl.gz"):
        return None
    with gzip.open(path, "rt") as file:
        lines = file.readlines()
    target = work / f"more_{path.name}"
    with gzip.open(target, "wt") as file:
        file.writelines(lines)
        for line in lines[:50]:
            row = json.loads(line)
            for side in ("chosen", "rejected"):
                row[side] = row[side].rstrip() + " I hope that this helps."
            file.write(json.dumps(row) + "\n")
    shutil.copy(work / "first.json", work / "before.json")
    return str(target)


if __name__ == "__main__":
    main()
