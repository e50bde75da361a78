"""Images of DATA that stand beside it as files: read when rows are added, kept in the messages."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from plaudit.errors import DataError
from plaudit.rendering.images import MOST_BYTES, BadImage, size
from plaudit.rendering.parts import IMAGES, address_of
from plaudit.study.questions import Added
from plaudit.types import Message, Messages, Part, Slate

NAMED = 3  # problems that are told; the others are counted
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def with_images(slates: Iterable[Slate], data: str | Path, added: Added) -> Iterator[Slate]:
    """The slates with the images that their content parts name by a path, as `data:` URLs.

    Paths are relative to the folder of DATA and stay inside it; an address on the web is left as
    it is and never fetched. A slate whose image cannot be read is left out and counted in `added`,
    which says where and why of the first ones.
    """
    path = Path(data).expanduser()
    folder = path.parent.resolve() if path.is_file() else None
    for slate in slates:
        texts = (slate.prompt, *slate.responses)
        if folder is None or not any(isinstance(m.content, tuple) for t in texts for m in t):
            yield slate
            continue
        try:
            prompt, *responses = (_embedded(messages, folder) for messages in texts)
        except DataError as error:
            added.rows += 1
            added.drop("image that cannot be read")
            if len(added.problems) < NAMED:
                added.problems.append(f"{slate.source}: {error}")
            continue
        yield replace(slate, prompt=prompt, responses=tuple(responses))


def _embedded(messages: Messages, folder: Path) -> Messages:
    def message_with_images(message: Message) -> Message:
        if isinstance(message.content, str):
            return message
        return replace(message, content=tuple(_part(part, folder) for part in message.content))

    return tuple(map(message_with_images, messages))


def _part(part: Part, folder: Path) -> Part:
    name = address_of(part)
    if part["type"] not in IMAGES or not name or _ELSEWHERE.match(name):
        return part
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise DataError(f"image {name!r} is outside of the folder of the data; move it there")
    if not path.is_file():
        raise DataError(f"image {name!r}: no such file in the folder of the data, {folder}")
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"image {name!r} is larger than {MOST_BYTES // 1_000_000} MB; shrink it")
    content = path.read_bytes()
    try:
        kind = size(content)[0]
    except BadImage as error:
        raise DataError(f"image {name!r}: {str(error).removeprefix('not shown: ')}") from None
    url = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    kept = {k: v for k, v in part.items() if k not in ("image", "image_url", "url", "path")}
    return kept | {"type": "image_url", "image_url": {"url": url}}
