"""READERS: every format of preference data, one file a format.

A reader is two functions: does a row look like this format, and what Slate does it hold. To
add one, write the file and its row here. Order is the order of detection: the most particular
first. `recognises` sees one row; a format is taken when it recognises the first rows.
"""

from plaudit.data.readers import (
    arena,
    candidates,
    helpsteer,
    hh_rlhf,
    ranked,
    rewardbench,
    rm_bench,
    study,
    trl,
    two_responses,
    ultrafeedback,
)
from plaudit.data.readers.reader import Reader

__all__ = ["READERS", "Reader"]

READERS: dict[str, Reader] = {
    "study": Reader(study.recognises, study.read),
    "rewardbench2": Reader(rewardbench.recognises_2, rewardbench.read_2),
    "rewardbench": Reader(rewardbench.recognises_1, rewardbench.read_1),
    "rm-bench": Reader(rm_bench.recognises, rm_bench.read),
    "hh-rlhf": Reader(hh_rlhf.recognises, hh_rlhf.read),
    "helpsteer3": Reader(helpsteer.recognises_3, helpsteer.read_3),
    "helpsteer2": Reader(helpsteer.recognises_2, helpsteer.read_2),
    "ultrafeedback": Reader(ultrafeedback.recognises, ultrafeedback.read),
    "arena": Reader(arena.recognises, arena.read),
    "trl": Reader(trl.recognises, trl.read),
    "two-responses": Reader(two_responses.recognises, two_responses.read),
    "ranked": Reader(ranked.recognises, ranked.read),
    "candidates": Reader(candidates.recognises, candidates.read),
}
