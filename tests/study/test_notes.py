"""Notes that name a side, read with the side that they meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.study.answers import note_with_sides
from plaudit.study.notes import WHICH, WHICH_WAY

A, B = "A [response b]", "B [response a]"


@pytest.mark.parametrize(
    ("note", "shown"),
    [
        ("A is longer and so better", f"{A} is longer and so better"),
        ("I prefer B", f"I prefer {B}"),
        ("response A wins, Option B not", f"response {A} wins, Option {B} not"),
        ("Antwort B ist besser als A.", f"Antwort {B} ist besser als {A}."),
        ("La réponse A est mieux", f"La réponse {A} est mieux"),
        ("回答A更好，B不对", f"回答{A}更好，{B}不对"),
        ("A's code runs", f"{A}'s code runs"),
        ("A: good. B: bad", f"{A}: good. {B}: bad"),
        ("A>B", f"{A}>{B}"),
        ("because A explains why", f"because {A} explains why"),
        ("A shorter than B", f"{A} shorter than {B}"),
    ],
)
def test_a_sure_side_is_marked_in_place(note, shown):
    assert note_with_sides(note, "b") == shown


@pytest.mark.parametrize(
    "note",
    [
        "A good answer",
        "A lot of text. A few mistakes",
        "no `A = B` here",
        "```\nA and B\n```",
        "see https://example.org/A",
        "Both are fine",
        "an apple and a pear",
        "Abba, BBC, AB",
        "is right",
        "",
    ],
)
def test_what_is_no_side_is_let_alone(note):
    assert note_with_sides(note, "b") == note


@pytest.mark.parametrize(
    "note",
    [
        "vitamin A helps",
        "plan B",
        "A/B",
        "A+ for both",
        "a is better",
        "b",
        "ответ А лучше",
        "A. B.",
    ],
)
def test_in_doubt_a_line_says_which_was_which(note):
    assert note_with_sides(note, "b").endswith(WHICH)


@pytest.mark.parametrize("note", ["the left one", "die linke Antwort", "the first response"])
def test_directions_are_explained_too(note):
    assert note_with_sides(note, "b") == f"{note} {WHICH_WAY}"


@given(st.text())
def test_nothing_is_lost_and_nothing_changes_where_the_sides_were_not_swapped(note):
    assert note_with_sides(note, "a") == note_with_sides(note, None) == note
    shown = note_with_sides(note, "b")
    for added in (" [response a]", " [response b]", f" {WHICH}", f" {WHICH_WAY}"):
        if added not in note:
            shown = shown.replace(added, "")
    assert shown == note
