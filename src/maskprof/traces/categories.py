"""The categories of profiler events, as this package spells them.

Exporters spelled some of them otherwise over the years (`Kernel`, `Runtime`); `canonical` maps every known
spelling to today's, so that nothing behind the reader needs to know the old ones.
"""

OPERATOR = "cpu_op"
ANNOTATION = "user_annotation"
DEVICE_ANNOTATION = "gpu_user_annotation"
KERNEL = "kernel"
MEMCPY = "gpu_memcpy"
MEMSET = "gpu_memset"
PYTHON = "python_function"
MTIA = "mtia_ccp_events"

# What a device does by itself: these have a launch call, found by their correlation id.
DEVICE_EVENTS = (KERNEL, MEMCPY, MEMSET)
# Of an MTIA's own events these are copies, and these no work: it waits, or marks a moment.
MTIA_COPIES = ("dma_request",)
MTIA_IDLE = ("event_wait", "event_record")
# Calls on the host that may start device work. AMD's runtime calls carry `cuda_runtime` too.
LAUNCH_CALLS = (
    "cuda_runtime",
    "cuda_driver",
    "hip_runtime",
    "mtia_runtime",
    "xpu_runtime",
    "xpu_driver",
    "privateuse1_runtime",
    "privateuse1_driver",
)
# Where our own ranges may appear: `record_function` writes the first, the fast range the second.
RANGES = (ANNOTATION, OPERATOR)

_OLDER = {
    "driver": "cuda_driver",
    "memcpy": MEMCPY,
    "memset": MEMSET,
    "operator": OPERATOR,
    "runtime": "cuda_runtime",
}


def canonical(category: str) -> str:
    """Today's spelling of a category: lower case, older names replaced; unknown ones only lower-cased."""
    lower = category.lower()
    return _OLDER.get(lower, lower)
