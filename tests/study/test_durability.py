"""kill -9 at any moment: an acknowledged vote is there, once, and the study opens again."""

import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from plaudit.study import Study
from plaudit.study.accounts import invite
from tests.simulated import Choice, SimulatedAnnotator
from tests.study.conftest import fill

KILLS = 3


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(target, port):
    server = subprocess.Popen(
        [sys.executable, "-m", "plaudit", "collect", target, "--port", str(port)],
        stderr=subprocess.DEVNULL,
    )
    for _ in range(200):
        try:
            httpx.get(f"http://127.0.0.1:{port}/sign-in")
            return server
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError("the server did not start")


@pytest.mark.parametrize("kills", [KILLS, pytest.param(10, marks=pytest.mark.slow)])
def test_no_acknowledged_vote_is_lost_or_doubled(where, kills):
    target = where()
    with Study(target, gold_rate=0, agreement_share=0, retest_rate=0) as study:
        fill(study, 3000)
        token = study.database.transact(lambda db: invite(db, "annotator", "test", 8))
    port = free_port()
    server = start(target, port)
    link = f"http://127.0.0.1:{port}/join/{token}"
    annotators = [SimulatedAnnotator(link, lambda item: Choice("left")) for _ in range(4)]
    acknowledged, stop = [set() for _ in annotators], threading.Event()
    refused = set()

    def work(annotator, numbers):
        while not stop.is_set():
            try:
                number = annotator.step()
                if number is not None:
                    numbers.add(number)
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
    for kill in range(kills):
        enough = sum(map(len, acknowledged)) + 21  # however slow the machine is
        for _ in range(600):
            if sum(map(len, acknowledged)) >= enough:
                break
            time.sleep(0.05)
        time.sleep(0.07 * (kill % 5))
        server.send_signal(signal.SIGKILL)
        server.wait()
        server = start(target, port)
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    server.terminate()
    server.wait()
    with Study(target) as study:
        judged = list(study.judgments())
        from sqlalchemy import select

        from plaudit.study import schema

        with study.database.read() as db:
            stored = set(db.scalars(select(schema.judgment.c.id)))
    assert refused <= {409}
    said = set().union(*acknowledged)
    assert len(said) == sum(map(len, acknowledged)) > 20 * kills
    assert said <= stored
    assert len({(j.comparison, j.annotator) for j in judged}) == len(judged)
    assert len({j.comparison for j in judged}) == len(judged)  # overlap 1: no slot held twice
