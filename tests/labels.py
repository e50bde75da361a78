"""One row of every kind of label, and what it says: p that the first response is better.

`LABELLED` is run through read, check, train, evaluate, add and export, which must all agree.
Expected is p; None where the row has no label; or a word of the error that names the row.
"""

NAN = float("nan")
_TWO = {"prompt": "q", "response_a": "one", "response_b": "two"}
_LIST = {"prompt": "q", "responses": ["one", "two"]}
_TRL = {"prompt": "q", "chosen": "one", "rejected": "two"}
_A, _B, _TIE = ({"label": label} for label in ("a", "b", "tie"))

LABELLED = [
    # (name, row, expected)
    ("p", {**_TWO, "p": 0.8}, 0.8),
    ("p as text", {**_TWO, "p": "0.25"}, 0.25),
    ("p of exactly zero", {**_TWO, "p": 0}, 0.0),
    ("p and a label that agrees", {**_TWO, "p": 0.8, "label": "a"}, 0.8),
    ("p null", {**_TWO, "p": None, "label": "b"}, 0.0),
    ("p NaN", {**_TWO, "p": NAN, "label": "b"}, 0.0),
    ("p NaN alone", {**_TWO, "p": NAN}, None),
    ("p above one", {**_TWO, "p": 1.2}, "p must lie in"),
    ("votes", {**_TWO, "votes_a": 3, "votes_b": 1}, 0.75),
    ("votes with ties", {**_TWO, "votes_a": 1, "votes_b": 1, "votes_tie": 2}, 0.5),
    ("votes of ties alone", {**_TWO, "votes_a": 0, "votes_b": 0, "votes_tie": 2}, 0.5),
    ("no votes", {**_TWO, "votes_a": 0, "votes_b": 0}, None),
    ("votes null", {**_TWO, "votes_a": None, "votes_b": None, "label": "a"}, 1.0),
    ("votes NaN", {**_TWO, "votes_a": NAN, "votes_b": 1, "label": "a"}, 1.0),
    ("votes below zero", {**_TWO, "votes_a": -1, "votes_b": 1}, "counts"),
    ("annotations", {**_TWO, "annotations": [_A, _A, _B, _TIE]}, 0.625),
    ("annotations of nobody", {**_TWO, "annotations": []}, None),
    ("annotations with gaps", {**_TWO, "annotations": [_A, {"label": None}, {"label": NAN}]}, 1.0),
    ("annotations all both bad", {**_TWO, "annotations": [{"label": "both_bad"}] * 2}, None),
    ("label a", {**_TWO, "label": "a"}, 1.0),
    ("label B", {**_TWO, "label": "B"}, 0.0),
    ("label tie", {**_TWO, "label": "tie"}, 0.5),
    ("label in words", {**_TWO, "label": "response_b"}, 0.0),
    ("label both_bad", {**_TWO, "label": "both_bad"}, None),
    ("label skip", {**_TWO, "label": "skip"}, None),
    ("label null", {**_TWO, "label": None}, None),
    ("label empty", {**_TWO, "label": " "}, None),
    ("label NaN", {**_TWO, "label": NAN}, None),
    ("label unknown", {**_TWO, "label": "perhaps"}, "label 'perhaps'"),
    ("chosen and rejected", _TRL, 1.0),
    ("chosen with votes", {**_TRL, "votes_chosen": 3, "votes_rejected": 1}, 0.75),
    ("chosen with a margin", {**_TRL, "margin": 2.5}, 1.0),
    ("chosen with a NaN margin", {**_TRL, "margin": NAN}, 1.0),
    ("ranks", {**_LIST, "ranks": [1, 2]}, 1.0),
    ("equal ranks", {**_LIST, "ranks": [1, 1]}, 0.5),
    ("ranks with null", {**_LIST, "ranks": [None, 1]}, None),
    ("ranks with NaN", {**_LIST, "ranks": [NAN, 1]}, None),
    ("ranking", {**_LIST, "ranking": [1, 0]}, 0.0),
    ("ratings", {**_LIST, "ratings": [0.1, 0.9]}, 0.0),
    ("ratings with null", {**_LIST, "ratings": [5, None]}, None),
    ("ratings with NaN", {**_LIST, "ratings": [NAN, 5]}, None),
    ("ratings inside", {"prompt": "q", "responses": [{"text": "one", "rating": 4},
                                                     {"text": "two", "rating": NAN}]}, None),
    ("ratings beside an unrated third", {**_LIST, "responses": ["one", "two", "three"],
                                         "ratings": [1, 3, None]}, 0.0),
    ("ranks and ratings that agree", {**_LIST, "ranks": [2, 1], "ratings": [1, 9]}, 0.0),
    ("ranks where ratings are unknown", {**_LIST, "ranks": [1, 2], "ratings": [None, 9]}, 1.0),
    ("preferred among three", {**_LIST, "responses": ["one", "two", "three"],
                               "preferred": [0]}, 1.0),
    ("preferred: the last alone", {**_LIST, "responses": ["one", "two", "three"],
                                   "preferred": 2}, None),
    ("preferred null", {**_LIST, "preferred": None, "ranks": [2, 1]}, 0.0),
    ("best of four", {"id": "1", "prompt": "q", "chosen": ["one"], "num_correct": 1,
                      "rejected": ["two", "three", "four"], "subset": "Focus"}, 1.0),
    ("ranks against ratings", {**_LIST, "ranks": [1, 2], "ratings": [1, 9]}, "contradict"),
    ("label against votes", {**_TWO, "label": "a", "votes_a": 1, "votes_b": 3}, "contradict"),
    ("p against label", {**_TWO, "p": 0.2, "label": "a"}, "contradict"),
    ("p against votes", {**_TWO, "p": 0.2, "votes_a": 3, "votes_b": 1}, "contradict"),
    ("p of a model of the annotators against votes",
     {**_TWO, "p": 0.4, "votes_a": 2, "votes_b": 1, "aggregate": "dawid-skene"}, 0.4),
]  # fmt: skip
