"""A million short rows through the readers: seconds and peak memory of each kind of file.

python benchmarks/readers.py [ROWS]

Each kind runs in a process of its own: streamed row by row, as `check` and `score` read; and
once more held whole as pairs, as `train` reads.
"""

import csv
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from plaudit.data import pairs_of, read

KINDS = (".jsonl", ".csv", ".json", ".parquet")
WORDS = [f"word{i}" for i in range(5000)]


def write(path: Path, count: int) -> None:
    draw = random.Random(0)
    rows = (
        {
            "prompt": " ".join(draw.choices(WORDS, k=12)),
            "response_a": " ".join(draw.choices(WORDS, k=15)),
            "response_b": " ".join(draw.choices(WORDS, k=15)),
            "label": "ab"[i % 2],
        }
        for i in range(count)
    )
    if path.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
        return
    with path.open("w", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, ["prompt", "response_a", "response_b", "label"])
            writer.writeheader()
            writer.writerows(rows)
        elif path.suffix == ".json":
            json.dump(list(rows), file)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def measure(path: str, held: bool) -> None:
    started = time.perf_counter()
    count = len(pairs_of(read(path))) if held else sum(1 for _ in read(path))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds = time.perf_counter() - started
    what = "held as pairs" if held else "streamed"
    print(f"{Path(path).suffix} {what}: {count:,} rows in {seconds:.0f} s, peak {peak:.2f} GiB")


def main(count: int = 1_000_000) -> None:
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"rows{kind}"
            code = "import sys, readers; from pathlib import Path; readers.write(Path(sys.argv[1]), int(sys.argv[2]))"
            run(code, str(path), str(count))
            for held in ("", "held"):
                run(
                    "import sys, readers; readers.measure(sys.argv[1], bool(sys.argv[2]))",
                    str(path),
                    held,
                )


def run(code: str, *arguments: str) -> None:
    """In a process of its own, whose peak memory is its own."""
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=Path(__file__).parent, check=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
