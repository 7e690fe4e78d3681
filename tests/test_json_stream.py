"""A json file that is read entry by entry: it is what `read_json` reads, whatever the size of the blocks."""

from __future__ import annotations

import codecs
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from vclr import json_stream
from vclr.errors import UserError
from vclr.files import read_json
from vclr.json_stream import JsonStream

ENTRIES: list[Any] = [
    {"id": 1, "name": "a ü 雪 \U0001f600 \ud800", "x": [1.5, -2e-7, []]},
    12345,
    "text",
    None,
    [[]],
    {},
]
CONTENTS = [ENTRIES, [], [7], {"a": 1, "list": ENTRIES, "b": [ENTRIES]}, {"list": []}, {"list": 3}, {}, None, 12, "x"]
ENCODINGS = [("utf-8", b""), ("utf-8", codecs.BOM_UTF8), ("utf-16-le", codecs.BOM_UTF16_LE)]


def read(path: Path) -> Any:
    """Return the content, and check that every entry is where it is said to be."""
    with JsonStream(path, "list") as stream:
        if not stream.has_list:
            return stream.head
        entries = list(stream)
        assert [stream.read(start, stop)[0] for start, stop, _ in entries] == [entry for _, _, entry in entries]
        if entries:
            assert stream.read(entries[0][0], entries[-1][1]) == [entry for _, _, entry in entries]
        found = [entry for _, _, entry in entries]
        return found if stream.head is None else {**stream.head, "list": found}


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@pytest.mark.parametrize(("encoding", "mark"), ENCODINGS)
@pytest.mark.parametrize("is_ascii", [True, False])
def test_content_is_that_of_read_json(
    block: int, encoding: str, mark: bytes, is_ascii: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(json_stream, "BLOCK", block)
    for content in CONTENTS:
        for indent in (None, 2):
            text = json.dumps(content, ensure_ascii=is_ascii, indent=indent)
            path = tmp_path / "content.json"
            path.write_bytes(mark + text.encode(encoding, "ignore"))
            assert read(path) == read_json(path)


@pytest.mark.parametrize("text", ['{"a": 1.5e-07, "list": [-2.5E+3, 0.25, 10], "b": [1.5], "c": -0.5}', "12.5e+6"])
def test_a_block_may_end_anywhere(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "numbers.json"
    path.write_text(text)
    for block in range(1, len(text) + 1):  # the first block ends at each place once
        monkeypatch.setattr(json_stream, "BLOCK", block)
        assert read(path) == json.loads(text)


@pytest.mark.parametrize("block", [3, 1 << 20])
@pytest.mark.parametrize(
    "text",
    ["", "[", "[1", "[1,", "[1,]", "[1 2]", "[1]]", '{"list": [1}', '{"list": [1] "a": 2}', "{1: 2}", "[NaN]", "[nul]"]
    + ['{"list": [1], "a": Infinity}', '["\x01"]', "[" * 100_000, "[" + "1" * 5000 + "]", '{"a": 1,}', "[1] x"],
)
def test_damaged_files_get_the_error_of_read_json(
    block: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(json_stream, "BLOCK", block)
    path = tmp_path / "damaged.json"
    path.write_text(text)
    with pytest.raises(UserError) as expected:
        read_json(path)
    with pytest.raises(UserError) as raised:
        read(path)
    assert str(raised.value) == str(expected.value)


@pytest.mark.parametrize("data", [b'["\xe9"]', b"\x1f\x8b\x08"])
def test_other_encodings_and_missing_files_get_it_too(data: bytes, tmp_path: Path):
    (tmp_path / "data.json").write_bytes(data)
    for path in (tmp_path / "data.json", tmp_path / "missing.json", tmp_path):
        with pytest.raises(UserError) as expected:
            read_json(path)
        with pytest.raises(UserError) as raised:
            read(path)
        assert str(raised.value) == str(expected.value)


def test_a_pipe_is_read_too(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(json.dumps(CONTENTS[3])))
    writer.start()
    assert read(pipe) == CONTENTS[3]
    writer.join()
