"""Sample data: support-desk comparisons written for this project (see README.md beside it)."""

from importlib.resources import files
from pathlib import Path

__all__ = ["ANSWERS", "GUIDELINE", "QUESTION", "SUPPORT_DESK"]

_FOLDER = Path(str(files("plaudit.samples")))
SUPPORT_DESK = _FOLDER / "support_desk.jsonl"
GUIDELINE = _FOLDER / "guideline.md"

# The model case: no sample is about passwords, so that a model trained on them has not seen it.
QUESTION = "How do I reset my password?"
ANSWERS = (
    "Click on forgot password.",
    "Choose 'Forgot password' on the sign-in page and enter your e-mail address. You get a link "
    "that works for an hour; open it and set a new password. If no mail comes, look in the spam "
    "folder or tell me, and I will send it again.",
)
