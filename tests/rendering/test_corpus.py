"""The corpus, rendered and compared with what was written, word by word."""

import pytest

from plaudit.rendering.plain import TOO_COMPLEX
from tests.rendering.corpus import ALL
from tests.rendering.reading import read, rendered, words


@pytest.mark.parametrize(("kind", "source", "expected"), ALL)
def test_every_word_is_read_as_it_was_written(kind, source, expected):
    html = rendered(source)
    assert TOO_COMPLEX not in html
    assert words(read(html)) == words(source if expected is None else expected), html


@pytest.mark.parametrize(("kind", "source", "expected"), ALL)
def test_as_a_persons_prompt_it_is_read_as_it_stands(kind, source, expected):
    assert read(rendered(source, role="user")).strip() == source.strip()
