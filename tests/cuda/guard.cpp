// A CUDA device that does nothing, for CPU builds of torch.
//
// The bindings of torch that guard a device (Tensor.to, Tensor.copy_) and the autograd engine ask for a device guard and
// for CUDA's hooks. Both are registered here, say that devices are there, and compute nothing: tests/cuda/machine.py does,
// in the memory of the CPU. Overridden is only what torch asks for on that way.
#include <Python.h>

#include <cstdlib>

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/csrc/distributed/c10d/reducer_timer.hpp>

static c10::DeviceIndex count_devices() {
  const char* number = std::getenv("VCLR_PRETENDED_GPUS");
  return static_cast<c10::DeviceIndex>(number ? std::atoi(number) : 1);
}

// The engine asks from its own threads too, so each thread has its current device, as with CUDA.
static thread_local c10::DeviceIndex current = 0;

static c10::DeviceIndex exchange(c10::DeviceIndex index) {
  const c10::DeviceIndex before = current;
  if (index >= 0) current = index;
  return before;
}

struct PretendedGuard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::kCUDA; }
  c10::Device exchangeDevice(c10::Device d) const override { return c10::Device(c10::kCUDA, exchange(d.index())); }
  c10::Device getDevice() const override { return c10::Device(c10::kCUDA, current); }
  void setDevice(c10::Device d) const override { exchange(d.index()); }
  void uncheckedSetDevice(c10::Device d) const noexcept override { exchange(d.index()); }
  c10::DeviceIndex deviceCount() const noexcept override { return count_devices(); }

  // There is one stream, on which everything is done at once.
  c10::Stream getStream(c10::Device d) const override {
    return c10::Stream(c10::Stream::DEFAULT, c10::Device(c10::kCUDA, d.index() < 0 ? current : d.index()));
  }
  c10::Stream getDefaultStream(c10::Device d) const override { return getStream(d); }
  c10::Stream exchangeStream(c10::Stream s) const override { return s; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
};

namespace c10::impl {
C10_REGISTER_GUARD_IMPL(CUDA, ::PretendedGuard)
}

namespace at {

struct PretendedHooks : CUDAHooksInterface {
  explicit PretendedHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return count_devices(); }
  DeviceIndex getCurrentDevice() const override { return current; }
  DeviceIndex current_device() const override { return current; }
  DeviceIndex exchangeDevice(DeviceIndex index) const override { return exchange(index); }
  DeviceIndex maybeExchangeDevice(DeviceIndex index) const override { return exchange(index); }
  Allocator* getPinnedMemoryAllocator() const override { return c10::GetCPUAllocator(); }
};

// The hooks are looked for under this name.
using CUDAHooks = PretendedHooks;
REGISTER_CUDA_HOOKS(CUDAHooks)

}  // namespace at

namespace c10d {

// DistributedDataParallel insists on a timer for the device of its parameters.
struct PretendedTimer final : Timer {
  explicit PretendedTimer(c10::Device) {}
  std::optional<int64_t> measureDifference(Event, Event) override { return std::nullopt; }
};

C10_REGISTER_TYPED_CLASS(TimerRegistry, c10::kCUDA, PretendedTimer);

}  // namespace c10d
