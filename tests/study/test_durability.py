"""kill -9 at any moment: an acknowledged vote is there, once, and the study opens again.

PLAUDIT_KILLS=500 kills so often on each store.
"""

import multiprocessing
import os
import socket
import threading
import time

import httpx

from plaudit.cli.collect import collect
from plaudit.config import CollectConfig
from plaudit.study import Study
from plaudit.study.accounts import invite
from tests.simulated import Choice, SimulatedAnnotator

KILLS = int(os.environ.get("PLAUDIT_KILLS", "5"))
# Processes that have imported everything: a kill costs a tenth of a second, not two.
servers = multiprocessing.get_context("forkserver")
servers.set_forkserver_preload(["plaudit.study_app.app", "uvicorn", "tests.study.test_durability"])


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def serve(target, port):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    collect(target, config=CollectConfig(port=port))


def start(target, port):
    server = servers.Process(target=serve, args=(target, port), daemon=True)
    server.start()
    for _ in range(600):
        try:
            httpx.get(f"http://127.0.0.1:{port}/sign-in")
            return server
        except httpx.TransportError:
            time.sleep(0.02)
    raise RuntimeError("the server did not start")


def test_no_acknowledged_vote_is_lost_or_doubled(where, rows):
    target = where()
    texts = ({"prompt": f"Q{n}?", "responses": ["yes", "no"]} for n in range(300 + 60 * KILLS))
    with Study(target, gold_rate=0, retest_rate=0, agreement_share=0) as study:
        study.add(rows(texts))
        token = study.database.transact(lambda db: invite(db, "annotator", "test", 8))
    port = free_port()
    server = start(target, port)
    link = f"http://127.0.0.1:{port}/join/{token}"
    annotators = [SimulatedAnnotator(link, lambda item: Choice("left")) for _ in range(4)]
    acknowledged, stop = [set() for _ in annotators], threading.Event()
    refused = set()

    def work(annotator, tokens):
        while not stop.is_set():
            try:
                token = annotator.step()
                if token is not None:
                    tokens.add(token)
            except httpx.TransportError:
                annotator.items = []
                time.sleep(0.02)
            except httpx.HTTPStatusError as error:
                # The answer to the same vote was lost: it is stored, and said so.
                refused.add(error.response.status_code)
                annotator.items = []

    threads = [
        threading.Thread(target=work, args=pair)
        for pair in zip(annotators, acknowledged, strict=True)
    ]
    for thread in threads:
        thread.start()
    for kill in range(KILLS):
        enough = sum(map(len, acknowledged)) + 10  # however slow the machine is
        for _ in range(600):
            if sum(map(len, acknowledged)) >= enough:
                break
            time.sleep(0.05)
        time.sleep(0.07 * (kill % 5))
        server.kill()
        server.join()
        server = start(target, port)
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    server.terminate()
    server.join()
    with Study(target) as study:
        judged = list(study.judgments())
        from sqlalchemy import select

        from plaudit.study import schema

        with study.database.read() as db:
            j, a = schema.judgment.c, schema.assignment.c
            query = select(a.token).join(schema.judgment, j.assignment == a.id)
            stored = set(db.scalars(query))
    assert refused <= {409}
    said = set().union(*acknowledged)
    assert len(said) == sum(map(len, acknowledged)) > 9 * KILLS
    assert said <= stored
    assert len({(j.comparison, j.annotator) for j in judged}) == len(judged)
    assert len({j.comparison for j in judged}) == len(judged)  # overlap 1: no slot held twice
