"""Annotators that are programs: to try a study's set-up, and the app under load, over HTTP.

They know what a person's browser knows, and no more: rendered texts on two sides.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping
from html import unescape
from typing import Any, NamedTuple

import httpx

__all__ = ["Choice", "SimulatedAnnotator", "plain_text"]

Item = Mapping[str, Any]


class Choice(NamedTuple):
    """An answer to what is on the screen."""

    answer: str  # left, right, tie, both_bad or skip
    strength: int | None = None


def plain_text(messages: list[Mapping[str, str]]) -> str:
    """The words of rendered messages."""
    text = " ".join(re.sub(r"<[^>]+>", " ", message["html"]) for message in messages)
    return " ".join(unescape(text).split())


class SimulatedAnnotator:
    """Joins by an invitation link and judges with `choose(item)`.

    An item has `prompt`, `left` and `right`, each a list of messages; `plain_text` gives their words.
    Raises httpx.HTTPStatusError when the app refuses something.
    """

    def __init__(
        self, link: str, choose: Callable[[Item], Choice], client: httpx.Client | None = None
    ) -> None:
        self.choose = choose
        self.client = client or httpx.Client(timeout=30)
        self.base = link.rsplit("/join/", 1)[0]
        self.items: list[Item] = []
        self.seconds: list[float] = []  # of each vote, from request to answer
        self.client.post(link, data={})
        page = self.client.get(f"{self.base}/judge")
        page.raise_for_status()
        self.csrf = re.findall(r'name="csrf" content="([^"]*)"', page.text)[0]
        self.pseudonym = re.findall(r'data-me="([^"]*)"', page.text)[0]

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """A request of the judging screen, and its answer."""
        headers = {"x-csrf-token": self.csrf}
        response = self.client.post(self.base + path, json=body, headers=headers)
        response.raise_for_status()
        return response.json()

    def step(self) -> str | None:
        """Judge one comparison; returns its token, None when nothing is open."""
        if not self.items:
            self.items = self.post("/api/next", {})["items"]
            if not self.items:
                return None
        item = self.items[0]
        choice = self.choose(item)
        body = {
            "token": item["token"],
            "key": str(uuid.uuid4()),
            "answer": choice.answer,
            "strength": choice.strength,
            "active_ms": 5000,
            "held": [held["token"] for held in self.items[1:]],
        }
        started = time.perf_counter()
        answer = self.post("/api/votes", body)
        self.seconds.append(time.perf_counter() - started)
        self.items = [*self.items[1:], *answer["items"]]
        return str(answer["token"])

    def run(self, limit: int) -> int:
        """Judge up to `limit` comparisons; returns how many."""
        for done in range(limit):
            if self.step() is None:
                return done
        return limit
