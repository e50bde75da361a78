"""Values of any source as JSON has them: text, numbers, booleans, None, lists and mappings."""

from __future__ import annotations

import base64
import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from plaudit.errors import DataError


def plain(value: Any, drop_nulls: bool = False) -> Any:
    """The value as JSON has it.

    Times become ISO text; decimals, bytes (base64 where they are no UTF-8) and other objects
    text; NaN, infinity and the nulls of pandas None; named tuples and dataclasses mappings.
    With `drop_nulls` the null fields of mappings go, which Arrow adds to make all rows alike.

    Raises DataError on text that holds half a character (a lone surrogate).
    """
    if isinstance(value, str):
        return value if value.isascii() else whole_text(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        items = ((str(name), plain(each, drop_nulls)) for name, each in value.items())
        return {name: each for name, each in items if each is not None or not drop_nulls}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict(), drop_nulls)
    if is_dataclass(value):
        return plain(vars(value), drop_nulls)
    if isinstance(value, (list, tuple)):
        return [plain(each, drop_nulls) for each in value]
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _text_of(bytes(value))
    if type(value).__name__ == "datetime64":
        return None if str(value) == "NaT" else str(value)
    if hasattr(value, "tolist"):  # an array or a scalar of NumPy
        return plain(value.tolist(), drop_nulls)
    return whole_text(str(value))


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON that every parser takes: no NaN, no infinity."""
    return json.dumps(plain(value), ensure_ascii=False, indent=indent, allow_nan=False)


def whole_text(text: str) -> str:
    """The text; raises DataError where it cannot be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        near = text[max(0, error.start - 20) : error.start].encode(errors="replace").decode()
        if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that it cannot decode
            raise DataError(
                f"byte 0x{code - 0xDC00:02x} after {near!r} is not UTF-8; save the file as UTF-8 "
                "(in a spreadsheet: 'CSV UTF-8')"
            ) from None
        raise DataError(f"half a character (\\u{code:04x}) after {near!r}; fix the text") from None
    return text


def _text_of(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()
