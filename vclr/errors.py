"""Errors that the user can fix: one line without a traceback, and the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from vclr.file_names import say_nearest


class UserError(Exception):
    """Report bad input (data, files, weights) in one line; `vclr` exits with 1."""

    exit_code = 1


class UsageError(UserError):
    """Report a misuse of a command or a setting in one line; `vclr` exits with 2."""

    exit_code = 2


MAX_LINE = 1000  # characters per message

# Messages of torch and its libraries for exhausted memory, besides `torch.OutOfMemoryError`.
OUT_OF_MEMORY = (
    "out of memory",  # CUDA, cuBLAS, NCCL
    "can't allocate memory",  # torch on a CPU
    "not enough memory: you tried to allocate",  # torch on a CPU, on Windows
    "STATUS_ALLOC_FAILED",  # cuBLAS, cuDNN, cuSPARSE
    "HOST_ALLOCATION_FAILED",  # cuDNN
    "unable to find an engine to execute this computation",  # cuDNN, if every algorithm needs more memory
)

ALIKE = 0.7  # similarity, from 0 to 1, above which two names are taken for spellings of the same name


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on a GPU or not."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without importing it
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type's name if the message is empty.

    SQLAlchemy may put advice for programmers before it.
    """
    lines = str(error).strip().splitlines()
    return next((line for line in lines if not line.startswith("(raised as a result of")), type(error).__name__)


def nearest(word: str, words: Iterable[str]) -> str:
    """Return the word that is most similar to a mistyped one."""
    return difflib.get_close_matches(word, list(words), n=1, cutoff=0.0)[0]


def nearest_key(key: str, keys: Iterable[str]) -> str:
    """Return the dotted key that a mistyped key most likely means.

    The last part counts most, because people remember `lr` better than `optimizer`; then the parts before it, then the
    spelling of the whole key. If no last part is similar, only the spelling of the whole key counts.
    """
    *rooms, last = key.split(".")
    keys = list(keys)
    likeness = {name: _likeness_of_names(last, name.rpartition(".")[2]) for name in keys}
    if max(likeness.values()) < ALIKE:
        return nearest(key, keys)

    def rank(name: str) -> float:
        shared_rooms = {*rooms} & {*name.split(".")[:-1]}
        return 2 * likeness[name] + len(shared_rooms) / 2 + difflib.SequenceMatcher(None, key, name).ratio()

    return max(keys, key=rank)


def _likeness_of_names(name: str, other: str) -> float:
    """Return the similarity of two names from 0 to 1; it is 1 if the other name contains all words of the first."""
    is_part = {*name.split("_")} <= {*other.split("_")}
    return 1.0 if is_part else difflib.SequenceMatcher(None, name, other).ratio()


def in_one_line(text: str) -> str:
    """Return a message as one line that is safe to print on any terminal, whatever names and values it contains.

    Line breaks and unprintable characters become escapes, because a name must not reverse or color the text. The middle
    of a very long message is left out.
    """
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text.strip())
    if len(shown) <= MAX_LINE:
        return shown
    return f"{shown[: MAX_LINE * 2 // 3]} ... {shown[-MAX_LINE // 3 :]}"


def one_line(error: BaseException) -> str:
    """Return any error as one line, for whoever goes on without what failed."""
    explanation = explain(error)
    return explanation[0] if explanation else first_line(error)


def explain(error: BaseException) -> tuple[str, int] | None:
    """Return a one-line explanation of an error and the exit code; None for a bug, which shows its traceback."""
    if isinstance(error, UserError):
        return in_one_line(str(error)), error.exit_code
    if isinstance(error, FloatingPointError):
        return str(error), 1
    if isinstance(error, FileNotFoundError) and isinstance(error.filename, str) and not error.filename2:
        return in_one_line(f"{error.filename}: does not exist{say_nearest(error.filename)}"), 1
    if isinstance(error, OSError) and error.filename is not None:
        return in_one_line(f"{error.filename2 or error.filename}: {error.strerror}"), 1
    if is_out_of_memory(error):
        return f"not enough memory: {first_line(error)}", 1
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 130
    return None
