"""What the owner's pages show: facts that simulated annotators make true."""

import random
import time

import numpy as np
import pytest

from plaudit.study import assignment, overview
from tests.study.conftest import fill, judge, person, prefers_good

RANDOM = np.random.default_rng(0)


def noisy(share):
    """Chooses the good response in this share of the cases."""

    def choose(item):
        good = prefers_good(item)
        return good if RANDOM.random() < share else ("right" if good == "left" else "left")

    return choose


def seen(study):
    return overview.OverviewUpdater(study.database).refresh()


@pytest.fixture
def crowd(sqlite_study, monkeypatch):
    """Three good annotators, one who guesses and one who always says left, on 80 comparisons."""
    study = sqlite_study
    # Sides as dice, but the same each time: by chance alone one in seventy would be flagged.
    monkeypatch.setattr(assignment, "_random", random.Random(0))
    fill(study, 80)
    study.change(overlap=5)
    kinds = {"good1": noisy(0.95), "good2": noisy(0.9), "good3": noisy(0.9), "guess": noisy(0.5)}
    names = {}
    for name, choose in {**kinds, "left": "left"}.items():
        who = person(study)
        names[name] = who.id
        judge(study, who, choose, 80, active_ms=4000)
    return study, names


def test_an_empty_study_has_an_seen(study):
    found = seen(study)
    assert (found.comparisons, found.judged, found.agreement, found.annotators) == (0, 0, None, [])


def test_counts(study):
    fill(study, 6)
    study.change(overlap=2)
    judge(study, person(study), prefers_good, 4)
    judge(study, person(study), prefers_good, 2)
    found = seen(study)
    assert (found.comparisons, found.judged, found.complete, found.remaining) == (6, 4, 2, 6)
    assert found.last_hour == 6
    assert found.answers["left"] + found.answers["right"] == 6
    assert found.by_day[-1][1] == 6


def test_the_annotator_model_knows_good_from_guessing(crowd):
    study, names = crowd
    facts = {f.id: f for f in seen(study).annotators}
    reliability = {name: facts[number].reliability for name, number in names.items()}
    assert min(reliability["good1"], reliability["good2"], reliability["good3"]) > max(
        reliability["guess"], reliability["left"]
    )


def test_only_the_one_sided_is_flagged_for_a_side(crowd):
    study, names = crowd
    facts = {f.id: f for f in seen(study).annotators}
    assert "prefers the left side: 100 % of 80 judgments" in facts[names["left"]].flags
    assert any("times in a row" in flag for flag in facts[names["left"]].flags)
    for name in ("good1", "good2", "good3"):
        assert facts[names[name]].flags == ()
        assert facts[names[name]].seconds == 4.0
    assert facts[names["left"]].left_bias.value == 0.5


def test_who_clicks_faster_than_anyone_reads_is_flagged(study):
    for number in range(20):
        responses = [f"good {number} " + "word " * 200, f"bad {number} " + "word " * 180]
        study.compare(f"Q{number}", responses)
    fast, slow = person(study), person(study)
    study.change(overlap=2)
    judge(study, fast, prefers_good, 20, active_ms=500)
    judge(study, slow, prefers_good, 20, active_ms=90_000)
    flags = {f.id: f.flags for f in seen(study).annotators}
    assert flags[fast.id] == ("faster than reading speed in 20 of 20 judgments",)
    assert flags[slow.id] == ()


def test_gold_and_retests_are_scored(sqlite_study, rows):
    study = sqlite_study
    fill(study, 60)
    study.change(gold_rate=0.3, retest_rate=0.3, retest_after=3, overlap=2)
    gold = [
        {"prompt": f"Gold {n}", "response_a": "good", "response_b": "bad", "label": "a"}
        for n in range(30)
    ]
    study.add(rows(gold), labels="gold")
    sound, wrong = person(study), person(study)
    judge(study, sound, prefers_good, 90)
    judge(study, wrong, lambda item: "right" if prefers_good(item) == "left" else "left", 90)
    facts = {f.id: f for f in seen(study).annotators}
    assert facts[sound.id].gold.value == 1.0
    assert facts[sound.id].gold.n > 5
    assert facts[wrong.id].gold.value == 0.0
    assert any(flag.startswith("gold accuracy 0 % [") for flag in facts[wrong.id].flags)
    assert facts[sound.id].consistency.value == 1.0
    assert facts[sound.id].consistency.n > 5


def test_disagreements_are_queued_most_divided_first(crowd):
    study, _ = crowd
    found = seen(study)
    assert found.disagreements == len(found.queue) > 10
    assert found.agreement.two_class.value < 0.9
    assert found.agreement.two_class.low < found.agreement.two_class.value
    assert sum(bool(facts.flags) for facts in found.annotators) == 1


def test_a_refresh_reads_what_is_new_and_forgets_what_is_superseded(study):
    import uuid

    from plaudit.study.answers import undo

    fill(study, 5)
    who = person(study)
    watch = overview.OverviewUpdater(study.database)
    judge(study, who, "left", 3)
    assert watch.refresh().judged == 3
    judge(study, who, "left")
    assert watch.refresh().judged == 4
    study.database.transact(lambda db: undo(db, who, uuid.uuid4().hex, 60))
    assert watch.refresh().judged == 3


def test_the_thread_keeps_it_fresh_and_stops(study):
    import time

    watch = overview.OverviewUpdater(study.database, every=0.05)
    watch.start()
    fill(study, 2)
    for _ in range(100):
        if watch.overview.comparisons == 2:
            break
        time.sleep(0.05)
    watch.stop()
    assert watch.overview.comparisons == 2


def test_a_large_study_is_counted_in_a_process_that_ends_with_this_one(study, monkeypatch):
    monkeypatch.setattr(overview, "LARGE", 3)
    fill(study, 8)
    judge(study, person(study), count=6)
    updater = overview.OverviewUpdater(study.database, every=0.2)
    updater.start()
    try:
        wait_for(lambda: updater.overview.judged == 6)
        process = updater._process._process
        assert process.is_alive()
        judge(study, person(study), count=2)
        wait_for(lambda: updater.overview.judged == 8)
        process.kill()  # as the system does where memory runs out: another one takes over
        judge(study, person(study), "tie", count=1)
        wait_for(lambda: updater._process and updater._process._process is not process)
        process = updater._process._process
        wait_for(lambda: updater.overview.at > time.time() - 1)
    finally:
        updater.stop()
    process.join(timeout=20)
    assert not process.is_alive()


def wait_for(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("this never came")
