"""`plaudit check` on a million short rows: seconds and peak memory.

python benchmarks/data_check.py [ROWS]
"""

import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from plaudit.data import read
from plaudit.data.check import DataCheck

WORDS = [f"word{i}" for i in range(5000)]


def main(count: int = 1_000_000) -> None:
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        with path.open("w") as file:
            for i in range(count):
                prompt, a, b = (" ".join(draw.choices(WORDS, k=k)) for k in (12, 15, 15))
                row = {"prompt": prompt, "response_a": a, "response_b": b, "label": "ab"[i % 2]}
                file.write(json.dumps(row) + "\n")
        started = time.perf_counter()
        check = DataCheck()
        for _ in check.watch(read(str(path))):
            pass
        report = check.findings()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{report.rows:,} rows in {time.perf_counter() - started:.0f} s, peak {peak:.2f} GiB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
