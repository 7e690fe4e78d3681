"""User errors: one line that every terminal shows, with the nearest valid name."""

from __future__ import annotations

from pathlib import Path

import pytest

from vclr.config import list_keys
from vclr.errors import MAX_LINE, UserError, explain, in_one_line, nearest_key


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("train.lr", "optimizer.lr"),
        ("lr", "optimizer.lr"),
        ("optim.lr", "optimizer.lr"),
        ("train.iters", "train.max_iter"),
        ("max_iters", "train.max_iter"),
        ("seed", "train.seed"),
        ("model.num_query", "model.num_queries"),
        ("modle.num_queries", "model.num_queries"),
        ("backbone.depth", "model.backbone.depth"),
        ("data.train.anotations", "data.train.annotations"),
        ("data.test.image", "data.test.images"),
        ("trian.max_iter", "train.max_iter"),
    ],
)
def test_nearest_key_is_found_by_its_last_part_first(typed: str, meant: str):
    assert nearest_key(typed, list_keys()) == meant


def test_error_of_the_system_names_the_nearest_path(tmp_path: Path):
    (tmp_path / "a.json").touch()
    with pytest.raises(FileNotFoundError) as raised:
        (tmp_path / "b.json").read_text()
    assert explain(raised.value) == (f"{tmp_path}/b.json: does not exist; nearest: {tmp_path}/a.json", 1)
    with pytest.raises(IsADirectoryError) as is_folder:
        tmp_path.read_text()
    assert explain(is_folder.value) == (f"{tmp_path}: Is a directory", 1)


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
