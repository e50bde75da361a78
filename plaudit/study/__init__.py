"""Collecting judgments: the study store, who is asked what, the web app, the way out.

Torch is not imported here: a small machine where people only judge needs none of it.
"""

from plaudit.study.study import Study, compare

__all__ = ["Study", "compare"]
