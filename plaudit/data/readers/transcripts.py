"""Messages inside a text: Human and Assistant turns, ChatML, Llama and other headers.

Such text is read as its messages, or the row is refused: kept as one text, the markers would
be scored as words.
"""

from __future__ import annotations

import itertools
import re

from plaudit.errors import DataError
from plaudit.types import Message, Messages

# What begins a message, with its speaker; and what ends one, which is no part of it.
STYLES = {
    "Human: and Assistant:": (re.compile(r"(?:\A|\n\n)\s*(Human|Assistant|System):"), ""),
    "<extra_id_1>": (re.compile(r"\s*<extra_id_[01]>(System|User|Assistant)\n?"), ""),
    "ChatML": (re.compile(r"<\|im_start\|>(\w+)\n?"), "<|im_end|>"),
    "Llama 3 headers": (
        re.compile(r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\s*"),
        "<|eot_id|>",
    ),
    "Llama 4 headers": (re.compile(r"<\|header_start\|>(\w+)<\|header_end\|>\s*"), "<|eot|>"),
    "Gemma's turns": (re.compile(r"<start_of_turn>(\w+)\n?"), "<end_of_turn>"),
    "DeepSeek's turns": (re.compile(r"<｜(User|Assistant)｜>"), "<｜end▁of▁sentence｜>"),
    "<|user|> and <|assistant|>": (re.compile(r"<\|(system|user|assistant)\|>\n?"), "<|end|>"),
}
ENDS = ("<|end_of_text|>", "<|begin_of_text|>", "<|endoftext|>", "<bos>", "<eos>", "</s>", "<s>")
MARKED = re.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|<\|header_start\|>|<extra_id_[01]>|<start_of_turn>|<｜User｜>|"
    r"<\|(?:system|user|assistant)\|>|\[/?INST\]|(?:\A|\n\n)\s*(?:Human|Assistant):"
)
ROLES = {"human": "user", "user": "user", "model": "assistant", "assistant": "assistant"}
ROLES |= {"system": "system", "developer": "developer", "tool": "tool", "ipython": "tool"}


def messages_in(text: str, role: str) -> Messages | None:
    """The messages that a text marks, None where it marks none.

    `role` is whose text it is: what stands before the first marker is theirs. A marker at the
    end of a prompt with nothing after it (the place of the response) is left out.

    Raises DataError where markers do not make a conversation.
    """
    found = MARKED.search(text)
    if found is None:
        return None
    if "INST]" in found[0]:
        return _checked(_instructions(text), text, "[INST]", role)
    for name, (begin, end) in STYLES.items():
        if begin.search(text, max(0, found.start() - 2)):
            if name == "Human: and Assistant:" and not _dialogue(text, begin):
                return None
            return _checked(_split(text, begin, end, role), text, name, role)
    return None


def _dialogue(text: str, begin: re.Pattern[str]) -> bool:
    """Whether a text is a dialogue, not one whose first word happens to be such a name."""
    names = [match[1] for match in begin.finditer(text)]
    return len(set(names)) > 1 or "\n\nHuman:" in text or "\n\nAssistant:" in text


def _split(text: str, begin: re.Pattern[str], end: str, role: str) -> list[Message]:
    parts = begin.split(text)
    messages = []
    if head := _stripped(parts[0], end):
        messages.append(Message(role, head))
    for speaker, content in zip(parts[1::2], parts[2::2], strict=True):
        if speaker.lower() not in ROLES:
            raise DataError(f"a marker in the text names the unknown speaker {speaker!r:.40}")
        messages.append(Message(ROLES[speaker.lower()], _stripped(content, end)))
    return messages


def _stripped(content: str, end: str) -> str:
    content = content.strip()
    for mark in (end, *ENDS):
        while mark and (content.endswith(mark) or content.startswith(mark)):
            content = content.removesuffix(mark).removeprefix(mark).strip()
    return content


def _instructions(text: str) -> list[Message]:
    """Llama 2 and Mistral: [INST] <<SYS>> … <</SYS>> user [/INST] assistant."""
    messages = []
    for part in re.split(r"\[INST\]", text)[1:]:
        asked, _, answered = part.partition("[/INST]")
        system = re.match(r"\s*<<SYS>>(.*?)<</SYS>>", asked, re.DOTALL)
        if system:
            messages.append(Message("system", system[1].strip()))
            asked = asked[system.end() :]
        messages += [Message("user", asked.strip()), Message("assistant", _stripped(answered, ""))]
    return messages


def _checked(messages: list[Message], text: str, style: str, role: str) -> Messages:
    if role == "user" and messages and not messages[-1].text:
        messages.pop()  # the place of the response
    speakers = [message.role for message in messages if message.role != "system"]
    if not speakers or any(a == b != "tool" for a, b in itertools.pairwise(speakers)):
        raise DataError(
            f"the text marks messages ({style}) that do not alternate between user and "
            f"assistant: {text!r:.60}"
        )
    return tuple(messages)
