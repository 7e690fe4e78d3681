"""The pretended GPU: operations on tensors that say `cuda:0`, in the memory of the CPU, under CUDA's rules.

Values are real; the precision of mixed-precision operations is CUDA's choice, as the tensors ask for its lists. Mixed
devices raise as they do with CUDA. What the host waits for and what is computed goes to `Machine.notes`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._C._distributed_c10d import _create_work_from_future
from torch._ops import OpOverload
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from tests.cuda import rules
from tests.cuda.generators import device_type
from tests.cuda.memory import Memory
from tests.cuda.notes import Notes, place
from tests.cuda.streams import Timeline
from tests.cuda.tensor import CPU, GpuTensor, change, flatten, to_host


class Machine:
    """A machine with pretended GPUs. In the `with` block of `start`, torch's operations go through it.

    Attributes:
        notes: what was noted.
        memory: of the GPUs together.
        timeline: the streams.
        touched: the numbers of the devices that anything was put on.
        num_operations: how many operations it was given, views too.
        fails_at: the number of the operation from which on the next kernel finds no memory, once.
    """

    def __init__(self) -> None:
        self.notes, self.memory = Notes(), Memory()
        self.timeline = Timeline(self.note_wait)
        self.touched: set[int] = set()
        self.num_operations = 0
        self.fails_at: int | None = None
        self._pinned = WeakIdKeyDictionary()

    @contextmanager
    def start(self) -> Iterator[Machine]:
        """Let the operations of this thread, and of those that it starts, go through the machine."""
        GpuTensor.run = self.run
        bootstrap = threading.Thread._bootstrap_inner

        def bootstrap_inside(thread: threading.Thread) -> None:
            with _Mode(self):
                copy_numbers_visibly()
                bootstrap(thread)

        threading.Thread._bootstrap_inner = bootstrap_inside
        try:
            with _Mode(self):
                copy_numbers_visibly()
                yield self
        finally:
            threading.Thread._bootstrap_inner = bootstrap

    # --- notes ---

    def note_wait(self, operation: str) -> None:
        """Note that the host waits for the GPU."""
        self.notes.waits[f"{place()} {operation}"] += 1

    def pin(self, tensor: Tensor) -> None:
        """Remember that a CPU tensor's memory is pinned."""
        self._pinned[tensor.untyped_storage()] = True

    def is_pinned(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage() in self._pinned

    def refuse(self, message: str) -> RuntimeError:
        """Note an operation on things of several devices, and return CUDA's error."""
        message = f"{message} ({place()})"
        self.notes.mixes[message] += 1
        return RuntimeError(message)

    # --- operations ---

    def run(self, operation: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operation on the device on which it belongs."""
        leaves = flatten((*args, *kwargs.values()))
        on_gpu = [leaf for leaf in leaves if isinstance(leaf, GpuTensor)]
        wanted = kwargs.get("device")
        wanted = None if wanted is None else torch.device(wanted)
        self._check_generators(operation, leaves, "cuda" if on_gpu or (wanted and wanted.type == "cuda") else "cpu")
        pins = bool(kwargs.get("pin_memory"))
        if pins:
            kwargs = {**kwargs, "pin_memory": False}
        if not on_gpu and (wanted is None or wanted.type == "cpu"):
            result = operation(*args, **kwargs)
            if pins:
                self.pin(result)
            return result

        device = self._choose(wanted, on_gpu)
        if device is not None:
            self.touched.add(device.index)
        if operation.namespace == "c10d":
            return self._communicate(operation, args, kwargs)
        self._count(operation, args)
        if rules.name_of(operation) in ("_to_copy", "copy_"):
            return self._copy(operation, args, kwargs, device)
        if device is None:  # zeros_like(of the GPU, device="cpu")
            return operation(*to_host(args), **to_host(kwargs))
        self._check_devices(operation, args, leaves, on_gpu)
        if rules.waits(operation, args, kwargs):
            self.note_wait_for(operation)
        return self._compute(operation, args, kwargs, device, on_gpu)

    def _choose(self, wanted: torch.device | None, on_gpu: list[GpuTensor]) -> torch.device | None:
        """Return the GPU on which the result is to be; None: it is on the CPU."""
        if wanted is None:
            return on_gpu[0].device
        if wanted.type == "cpu":
            return None
        return wanted if wanted.index is not None else torch.device("cuda", torch.cuda.current_device())

    def _count(self, operation: OpOverload, args: tuple[Any, ...]) -> None:
        """Count an operation, and run out of memory where that is asked for."""
        self.num_operations += 1
        if not rules.is_kernel(operation):
            return
        self.notes.kernels[place()] += 1
        self.notes.by_operation[rules.name_of(operation)] += 1
        if rules.may_use_tf32(operation, args):
            self.notes.tf32[place()] += 1
        is_full = self.memory.live > self.memory.capacity
        if is_full or (self.fails_at is not None and self.num_operations >= self.fails_at):
            self.fails_at = None
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate 2.00 GiB. (pretended, in {operation})")

    def note_wait_for(self, operation: OpOverload) -> None:
        """Let the host wait for all that was given to the current stream."""
        self.timeline.host_waits(rules.name_of(operation))

    def _check_generators(self, operation: OpOverload, leaves: list[Any], device: str) -> None:
        for leaf in leaves:
            if isinstance(leaf, torch._C.Generator) and (other := device_type(leaf)) != device:
                raise self.refuse(f"Expected a '{device}' device type for generator but found '{other}': {operation}")

    def _check_devices(
        self, operation: OpOverload, args: tuple[Any, ...], leaves: list[Any], on_gpu: list[GpuTensor]
    ) -> None:
        """Let CPU tensors pass as numbers and as indices.

        Raises:
            RuntimeError: there are others, or tensors of two GPUs.
        """
        for leaf in leaves:
            if not isinstance(leaf, Tensor) or isinstance(leaf, GpuTensor):
                continue
            if rules.takes_index(operation, leaf, args):
                self.note_wait_for(operation)
            elif not rules.takes_number(operation, leaf):
                what = f"{tuple(leaf.shape)} {leaf.dtype} on the CPU beside {on_gpu[0].device}" if on_gpu else "CPU"
                raise self.refuse(f"Expected all tensors to be on the same device: {operation} has {what}")
        if len({tensor.device for tensor in on_gpu}) > 1:
            raise self.refuse(f"Expected all tensors to be on the same device: {operation} has two GPUs")

    def _check_ready(self, operation: OpOverload, tensor: GpuTensor) -> None:
        """Note a tensor that another stream writes, for which the current one does not wait."""
        if not self.timeline.is_ready(self.memory.block(tensor.host).writer):
            self.notes.races[f"{place()} {operation}: used before the other stream has written it"] += 1

    def _compute(
        self,
        operation: OpOverload,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        device: torch.device,
        on_gpu: list[GpuTensor],
    ) -> Any:
        """Compute on the host's memory, and return what the caller is to see."""
        for tensor in on_gpu:
            self._check_ready(operation, tensor)
        work = self.timeline.launch()
        if torch.Tag.inplace_view in operation.tags:  # squeeze_ and the like change how the wrapper looks, too
            operation(*to_host(args), **to_host(kwargs))
            with no_dispatch():
                operation(*args, **kwargs)
            return args[0]
        computed = _compute_as_cuda(operation, args)
        if computed is None:
            computed = operation(*to_host(args), **to_host(kwargs))
        return self._give(operation, args, kwargs, computed, partial(self.wrap, device=device, writer=work))

    def wrap(self, value: Any, device: torch.device, writer: tuple[int, int] | None = None) -> Any:
        """Return a tensor of the host as one of the GPU, everything else as it is."""
        if not isinstance(value, Tensor) or isinstance(value, GpuTensor):
            return value
        block = self.memory.block(value)
        if writer is not None:
            block.writer = writer
        return GpuTensor(value, device)

    def _give(
        self,
        operation: OpOverload,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        computed: Any,
        wrap: Callable[[Any], Any],
    ) -> Any:
        """Wrap results; what was written in place is the caller's own tensor."""
        written = {
            alias: args[number] if number < len(args) else kwargs.get(name)
            for number, name, alias in rules.written_arguments(operation)
        }
        for tensor in flatten(written.values()):
            if isinstance(tensor, GpuTensor):
                if tensor.host.shape != tensor.shape:
                    raise NotImplementedError(f"{operation} changed a shape in place")
                wrap(tensor.host)

        results = rules.written_results(operation)
        if len(results) == 0:
            return None
        if len(results) == 1:
            return written[results[0]] if results[0] else change(computed, wrap)
        return tuple(
            written[alias] if alias else change(value, wrap) for alias, value in zip(results, computed, strict=True)
        )

    def _copy(
        self, operation: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], device: torch.device | None
    ) -> Any:
        """Copy between devices, or change the precision; the host waits unless it is told not to and need not."""
        is_in_place = rules.name_of(operation) == "copy_"
        source = args[1] if is_in_place else args[0]
        target = args[0] if is_in_place else None
        asynchronous = bool(kwargs.get("non_blocking", args[2] if is_in_place and len(args) > 2 else False))
        if is_in_place:
            device = target.device if isinstance(target, GpuTensor) else None
        is_from_gpu = isinstance(source, GpuTensor)
        # Without a wait, torch makes a copy to the CPU in pinned memory.
        arrives_later = is_from_gpu and device is None and asynchronous and (target is None or self.is_pinned(target))
        if is_from_gpu:
            self._check_ready(operation, source)
        if is_from_gpu and device is None and not arrives_later:
            self.note_wait_for(operation)
        elif device is not None and not is_from_gpu:
            self._send(operation, source, asynchronous)
        work = self.timeline.launch()
        if target is None:
            options = {**kwargs, "device": CPU, "non_blocking": False, "pin_memory": False}
            copied = operation(to_host(source), **options)
            is_same = copied.untyped_storage().data_ptr() == to_host(source).untyped_storage().data_ptr()
            copied = copied.clone() if is_same and is_from_gpu != (device is not None) else copied
            if device is not None:
                return self.wrap(copied, device, work)
            if arrives_later:
                self.pin(copied)
                self.timeline.send_to_host(copied, copied.clone())
            return copied
        if arrives_later:
            self.timeline.send_to_host(target, source.host.to(target.dtype).expand_as(target).clone())
            return target
        to_host(target).copy_(to_host(source))
        if device is not None:
            self.wrap(target.host, device, work)
        return target

    def _send(self, operation: OpOverload, source: Tensor, asynchronous: bool) -> None:
        """Note a copy to the GPU."""
        if asynchronous and self.is_pinned(source):
            return
        if asynchronous and source.numel() * source.element_size() <= rules.STAGED_BYTES:
            if source.numel():
                self.notes.pageable[place()] += 1
            return
        self.note_wait_for(operation)

    def _communicate(self, operation: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Let processes exchange what is in the host's memory. As with NCCL, the host does not wait."""
        self._count(operation, args)
        computed = operation(*to_host(args), **to_host(kwargs))
        work = computed[-1] if isinstance(computed, tuple) else computed
        work.wait()
        # DistributedDataParallel takes the gradients from what the work says its result is.
        future: torch.futures.Future[Any] = torch.futures.Future()
        future.set_result(args[0])
        done = _create_work_from_future(future).boxed()
        return (args[0], done) if isinstance(computed, tuple) else done


class _Mode(TorchDispatchMode):
    """Sends every operation of one thread to the machine."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine

    def __torch_dispatch__(self, func: OpOverload, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        copy_numbers_visibly()  # the autograd engine's threads begin here
        return self.machine.run(func, args, kwargs or {})


def copy_numbers_visibly() -> None:
    """Have torch.tensor(numbers, device="cuda"), in this thread, copy them from the CPU where the machine sees it."""
    torch._C._set_only_lift_cpu_tensors(True)


def _compute_as_cuda(operation: OpOverload, args: tuple[Any, ...]) -> Tensor | None:
    """Compute a softmax of half precision to float32 in one, as only CUDA can; None for everything else."""
    name = rules.name_of(operation)
    if name in ("_softmax", "_log_softmax") and args[2]:
        return operation(to_host(args[0]).float(), args[1], False)
    if name in ("_softmax_backward_data", "_log_softmax_backward_data") and args[3] != args[0].dtype:
        gradient = operation(to_host(args[0]), to_host(args[1]), args[2], args[0].dtype)
        return gradient.to(args[3])
    return None
