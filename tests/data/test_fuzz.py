"""Whatever the bytes are: a PlauditError or every row read or named, never another exception."""

import contextlib
import copy
import io
import json
import os

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from plaudit.data import Tally, pairs_of, read
from plaudit.data.readers import READERS
from plaudit.data.score_rows import request
from plaudit.errors import PlauditError

from ..labels import LABELLED
from .foreign_rows import FOREIGN, RATINGS
from .test_readers import SAMPLES

# A minute in CI; PLAUDIT_FUZZ examples per test for longer.
MANY = settings(
    max_examples=int(os.environ.get("PLAUDIT_FUZZ", "300")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
REAL = [
    *(row for _, row, _ in SAMPLES), *(row for _, row, _ in FOREIGN), *RATINGS,
    *(row for _, row, _ in LABELLED),
]  # fmt: skip
NAMES = sorted({name for row in REAL for name in row})
WORDS = [
    "\n\nHuman:", "\n\nAssistant:", "<|im_start|>user\n", "<|im_end|>", "[INST]", "[/INST]", "<<SYS>>",
    "<extra_id_1>User\n", "<|start_header_id|>user<|end_header_id|>", "<start_of_turn>model\n", "```",
    '[{"role": "user", "content": "x"}]', "[{'role': 'user'}]", '["a"]', "[{", "}]", "a", "b", "tie",
    "1", "0", "-1", "0.5", "NaN", "", " ", "\x00", "\ud83d", "é", "😀", "user", "assistant", "sep=;",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=6).map("".join)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["role", "content", "from", "value", "type", "text", "label",
                                       "score", "choices", "message", *NAMES]) | TEXTS, inner, max_size=5),
    max_leaves=12,
)  # fmt: skip


def everything(data, **settings):
    """Reads DATA to pairs; what went in comes out as read or as named."""
    tally = Tally()
    try:
        reading = read(data, **settings)
        str(reading.columns), str(reading.label)
        slates = list(reading)
        pairs_of(slates, tally)
        reading.refuse_unread()
    except PlauditError:
        return None
    assert reading.bad >= len(reading.problems)
    assert min(reading.bad, 100) == min(len(reading.problems), 100) or reading.format.endswith(
        "ratings"
    )
    if not reading.format.endswith("ratings"):
        assert len(slates) + reading.bad == reading.rows
    return reading


@st.composite
def mutated(draw):
    """A real row with some values exchanged, taken away, or of another kind."""
    row = copy.deepcopy(draw(st.sampled_from(REAL)))
    for _ in range(draw(st.integers(1, 3))):
        place, depth = row, draw(st.integers(0, 4))
        for _ in range(depth):
            inner = [v for v in (place.values() if isinstance(place, dict) else place)
                     if isinstance(v, (dict, list)) and v]  # fmt: skip
            if not inner:
                break
            place = draw(st.sampled_from(inner))
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        action = draw(st.sampled_from(["value", "delete", "name", "copy"]))
        if action == "delete" and len(place) > 1:
            del place[key]
        elif action == "name" and isinstance(place, dict):
            place[draw(st.sampled_from(NAMES))] = place.pop(key)
        elif action == "copy":
            place[key] = copy.deepcopy(
                draw(st.sampled_from(REAL)).get(draw(st.sampled_from(NAMES)))
            )
        else:
            place[key] = draw(VALUES)
    return row


@MANY
@given(
    st.binary(max_size=300),
    st.sampled_from(
        [".jsonl", ".json", ".csv", ".tsv", ".parquet", ".xlsx", ".jsonl.gz", ".jsonl.zst"]
    ),
)
@example(b"\x1f\x8b", ".jsonl.gz")
def test_random_bytes(tmp_path_factory, data, suffix):
    path = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
    path.write_bytes(data)
    everything(str(path))


@MANY
@given(
    st.lists(
        TEXTS | st.sampled_from([*',;\t"\n\r|', '""', "prompt,chosen,rejected\n", '"\n']),
        max_size=30,
    ).map("".join)
)
def test_random_tables(monkeypatch, text):
    monkeypatch.setattr(
        "sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode("utf-8", "surrogatepass")))
    )
    everything("-")


@MANY
@given(
    st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8), min_size=1, max_size=3),
    st.sampled_from([None, *READERS]),
)
def test_random_rows_of_the_right_shape(rows, name):
    reading = everything(rows, format=name)
    assert reading is None or reading.rows == len(rows)
    for row in rows:
        with contextlib.suppress(PlauditError):
            request(row)


@MANY
@given(st.lists(mutated(), min_size=1, max_size=3), st.sampled_from([None, *READERS]))
def test_mutated_real_rows(tmp_path_factory, rows, name):
    reading = everything(rows, format=name)
    assert reading is None or reading.rows == len(rows)
    path = tmp_path_factory.getbasetemp() / "mutated.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    reading = everything(str(path))
    assert reading is None or reading.rows == len(rows)
    for row in rows:
        with contextlib.suppress(PlauditError):
            request(row)


@MANY
@given(
    st.lists(SCALARS, min_size=1, max_size=30),
    st.sampled_from([("response_a", "response_b"), ("response_0", "response_1")]),
)
def test_random_label_columns(labels, names):
    rows = [{"prompt": "q", names[0]: "x", names[1]: "y", "label": label} for label in labels]
    reading = everything(iter(rows))
    assert reading is None or reading.rows == len(rows)
