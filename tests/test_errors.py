"""Errors of the user: one line that every terminal shows, whatever is in the names and values that it quotes."""

from __future__ import annotations

import pytest

from vclr.errors import MAX_LINE, UserError, explain, in_one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a.json: is wrong", "a.json: is wrong"),
        ("two\nlines\r\n", "two\\nlines"),
        ("\x1b[31mred\x00", "\\x1b[31mred\\x00"),
        ("gnp.\u202ea", "gnp.\\u202ea"),  # turns the text around
        ("\ud800", "\\ud800"),  # a byte of a file name that is no text
        ("\u00e9 \U0001f600", "\u00e9 \U0001f600"),
    ],
)
def test_what_no_terminal_shows_is_escaped(text: str, shown: str):
    assert in_one_line(text) == shown
    assert explain(UserError(text)) == (shown, 1)


def test_long_messages_keep_their_beginning_and_their_end():
    line = in_one_line(f"file.json: {'x' * 100_000} is wrong")
    assert line.startswith("file.json: xxx")
    assert line.endswith("xxx is wrong")
    assert len(line) <= MAX_LINE + 10
