"""What a stored message holds: its parts, the address of an image, JSON, and all of it as text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

Stored = Mapping[str, Any]
IMAGES = ("image", "image_url", "input_image")  # types of content parts
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def parts_of(message: Stored) -> list[Stored]:
    """The parts of a message's content; text is one."""
    content = message.get("content") or ""
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def address_of(part: Stored) -> str:
    """The address of an image: under `image_url`, `image` or `url`, alone or as {"url": …}."""
    for name in ("image_url", "image", "url", "path"):
        value = part.get(name)
        value = value.get("url") if isinstance(value, Mapping) else value
        if isinstance(value, str):
            return value
    return ""


def as_json(value: Any) -> str:
    """A value as indented JSON; text that is JSON already, indented."""
    if isinstance(value, str):
        return indented(value)
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, default=str)
    except RecursionError:
        return "[nested too deeply to be shown]"


def indented(text: str) -> str:
    """A JSON object or list over several lines, its numbers and order as they were written."""
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    lines, depth, before = [""], 0, ""
    for token in _TOKENS.findall(text):
        if token in "}]" and token:
            depth -= 1
            if before not in "{[":
                lines.append("  " * depth)
        elif before and before in "{[,":
            lines.append("  " * depth)
        lines[-1] += _readable(token) + (" " if token == ":" else "")
        depth += token in ("{", "[")
        before = token
    return "\n".join(lines)


def _readable(token: str) -> str:
    """A JSON string with its letters instead of their numbers, where they can be written."""
    if "\\u" not in token:
        return token
    try:
        readable = json.dumps(json.loads(token), ensure_ascii=False)
        readable.encode()
    except (ValueError, UnicodeEncodeError):
        return token
    return readable


def written(message: Stored) -> str:
    """All that a message holds, as text: what "show raw" shows."""
    parts = [str(message["reasoning_content"])] if message.get("reasoning_content") else []
    for part in parts_of(message):
        if part["type"] == "text":
            parts.append(str(part.get("text") or ""))
        else:
            address = address_of(part)
            shown_address = address if len(address) <= 200 else f"{address[:60]}…"
            parts.append(f"[{part['type']}: {shown_address}]")
    if calls := message.get("tool_calls"):
        parts.append(as_json(calls))
    return "\n\n".join(part for part in parts if part)
