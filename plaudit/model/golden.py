"""Golden conversations: fixed texts that ship with plaudit, never the user's.

A checkpoint keeps their scores; loading it computes them again and refuses a mismatch. They
are short, so that the check takes a fraction of a second, and awkward: an empty response, other
scripts, text that spells a special token, trailing white space, several messages.
"""

from plaudit.types import Conversation, Message, as_conversation

GOLDEN: tuple[Conversation, ...] = (
    as_conversation("How do I reset my password?", "Click on forgot password."),
    as_conversation(
        "How do I reset my password?",
        "Choose 'Forgot password' on the sign-in page, enter your e-mail address, and follow "
        "the link we send you. It works for an hour; look in the spam folder if it is not there.",
    ),
    as_conversation("What is 12 times 12?", ""),
    as_conversation(
        "Wie spät ist es in 東京?", "Dort ist es acht Stunden später als bei Ihnen. 👍"
    ),
    as_conversation("Print the end token.", "It is spelled <|im_end|> or </s> here.  \n"),
    Conversation(
        (
            Message("user", "Is the shop open on Sunday?"),
            Message("assistant", "Yes, from ten to four."),
            Message("user", "And on public holidays?"),
            Message("assistant", "No. We are closed on public holidays, but the web shop is open."),
        )
    ),
)
