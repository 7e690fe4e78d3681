"""One batch ahead: while a training works on a batch, a thread makes the next one and copies it to the GPU."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from queue import SimpleQueue

import torch

from vclr.data.workers import BLOCKED
from vclr.device import is_built_for_gpus
from vclr.errors import is_out_of_memory
from vclr.structures import Batch, to_device

PATIENCE = 5.0  # seconds that the end of a training waits for the batch being made, as long as torch waits for a worker


def one_batch_ahead(make: Callable[[], Batch], device: torch.device) -> Generator[Batch, None, None]:
    """Yield the results of `make` without end; a thread starts on the next one as soon as a batch is handed over.

    Whatever `make` raises is raised here in place of the batch. Closing the generator ends the thread after its current
    batch.

    Args:
        make: returns a batch, in pinned memory for a GPU.
        device: the device of the training. Batches arrive on a GPU; elsewhere, and if torch has no streams for it (a
            test may pretend a GPU), they arrive as they were made.
    """
    upload = Upload(device) if device.type == "cuda" and is_built_for_gpus() else None
    wanted: SimpleQueue[bool] = SimpleQueue()  # one more, or the end
    made: SimpleQueue[Batch | BaseException] = SimpleQueue()

    def work() -> None:
        try:
            _begin_thread(device)
            while wanted.get():
                made.put(upload.start(make()) if upload else make())
        except BaseException as error:
            made.put(error)

    # A daemon, so that a process can end without waiting for it, even if a file system hangs.
    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        wanted.put(True)
        while True:
            batch = made.get()
            if isinstance(batch, BaseException):
                raise batch
            if upload:
                upload.finish(batch)
            wanted.put(True)
            yield batch
    finally:
        wanted.put(False)
        thread.join(PATIENCE)


class Upload:
    """Copy to a GPU on a separate stream, so that copies do not wait for the training's work."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)
        self.left: Batch | None = None  # the last batch that did not fit

    def start(self, batch: Batch) -> Batch:
        """Return the batch on the GPU; its content may still be on its way.

        If it does not fit yet, return it as it is: the step copies it and may use less memory itself.
        """
        try:
            with torch.cuda.stream(self.stream):
                return to_device(batch, self.device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self.left = batch
            return batch

    def finish(self, batch: Batch) -> None:
        """Make this thread's stream wait for the copies before the next ones start."""
        if batch is self.left:
            return
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(self.stream)
        for tensor in batch.tensors():
            # The other stream owns this memory, and must not reuse it while this one reads it.
            tensor.record_stream(computing)


def _begin_thread(device: torch.device) -> None:
    """Leave signals to the main thread, and pin memory for the training's GPU instead of the first one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    if device.type == "cuda" and is_built_for_gpus():
        torch.cuda.set_device(device)
