"""Streams and events of a pretended GPU: what has to be waited for, and what is used before it was.

Everything is computed at once, so nothing ever really comes too late. Instead each piece of work has a number on its
stream, and each stream, and the host, knows up to which number of every other stream it has waited.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor

Waited = dict[int, int]  # for each stream the number of the last work that is known to be done


class Stream:
    """As torch.cuda.Stream; `Timeline.stream_class` is the one of a timeline."""

    timeline: ClassVar[Timeline]

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        self.device, self.priority = device, priority
        self.number, self.launched, self.waited = self.timeline.add(self), 0, Waited()

    def wait_stream(self, other: Stream) -> None:
        self.wait_event(other.record_event())

    def wait_event(self, event: Event) -> None:
        merge(self.waited, event.waited)

    def record_event(self, event: Event | None = None) -> Event:
        event = event or self.timeline.event_class()
        event.record(self)
        return event

    def synchronize(self) -> None:
        self.timeline.host_waits("Stream.synchronize", self.record_event().waited)

    def query(self) -> bool:
        return True


class Event:
    """As torch.cuda.Event; `Timeline.event_class` is the one of a timeline."""

    timeline: ClassVar[Timeline]

    def __init__(self, *_: Any, **__: Any) -> None:
        self.waited = Waited()

    def record(self, stream: Stream | None = None) -> None:
        stream = stream or self.timeline.current()
        self.waited = {**stream.waited, stream.number: stream.launched}

    def wait(self, stream: Stream | None = None) -> None:
        (stream or self.timeline.current()).wait_event(self)

    def synchronize(self) -> None:
        self.timeline.host_waits("Event.synchronize", self.waited)

    def query(self) -> bool:
        return True

    def elapsed_time(self, other: Event) -> float:
        return 1.0


class Timeline:
    """All streams, what each has waited for, and what is on its way to the host."""

    def __init__(self, note_wait: Callable[[str], None]) -> None:
        """Begin with the default stream; `note_wait` is told of every wait of the host."""
        self.note_wait = note_wait
        self.streams: list[Stream] = []
        self.host = Waited()
        self.arriving: list[tuple[int, int, Tensor, Tensor]] = []
        self.stream_class = type("Stream", (Stream,), {"timeline": self})
        self.event_class = type("Event", (Event,), {"timeline": self})
        self.default = self.stream_class()
        self.of_thread = threading.local()

    def add(self, stream: Stream) -> int:
        self.streams.append(stream)
        return len(self.streams) - 1

    def current(self, *_: Any) -> Stream:
        return getattr(self.of_thread, "stream", self.default)

    @contextmanager
    def use(self, stream: Stream | None) -> Iterator[None]:
        """As torch.cuda.stream."""
        before = self.current()
        self.of_thread.stream = stream or before
        try:
            yield
        finally:
            self.of_thread.stream = before

    def launch(self) -> tuple[int, int]:
        """Number the next piece of work on the current stream; it starts after what the host has waited for."""
        stream = self.current()
        merge(stream.waited, self.host)
        stream.launched += 1
        return stream.number, stream.launched

    def is_ready(self, writer: tuple[int, int]) -> bool:
        """Tell whether what that work wrote is there for the current stream's next work."""
        stream, number = self.current(), writer[1]
        waited = max(stream.waited.get(writer[0], 0), self.host.get(writer[0], 0))
        return writer[0] == stream.number or number <= waited

    def send_to_host(self, target: Tensor, data: Tensor) -> None:
        """Copy to pinned memory without a wait. Until the host waits, there is nonsense, as there may be with CUDA."""
        stream, number = self.launch()
        if target.is_floating_point():
            target.fill_(float("nan"))
        else:
            target.fill_(1 if target.dtype == torch.bool else torch.iinfo(target.dtype).max)
        self.arriving.append((stream, number, target, data))

    def host_waits(self, operation: str, waited: Waited | None = None) -> None:
        """Let the host wait for what an event recorded, by default for all work of the current stream."""
        self.note_wait(operation)
        stream = self.current()
        merge(self.host, waited if waited is not None else {**stream.waited, stream.number: stream.launched})
        left = []
        for stream_number, number, target, data in self.arriving:
            if number <= self.host.get(stream_number, 0):
                target.copy_(data)
            else:
                left.append((stream_number, number, target, data))
        self.arriving = left


def merge(waited: Waited, other: Waited) -> None:
    """Take over what another one has waited for."""
    for stream, number in other.items():
        waited[stream] = max(number, waited.get(stream, 0))
