#!/usr/bin/python3
"""Prints PyTorch's best time of a training step in ms: channels first, then channels last.

    train.py NETWORK CHANNELS HEIGHT WIDTH BATCH STEPS
"""
import os
import sys
import time

# What PyTorch frees stays its process's: the kernel would else be asked for it in every step, which takes up to two thirds
# of the time on some machines, and is not what is compared.
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 28)}
if any(name not in os.environ for name in KEPT):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**KEPT, **os.environ})

try:
    import torch
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/real/pytorch"))
from networks import build  # noqa: E402


def best_ms(network, shape, batch, steps, layout):
    model = build(network, *shape, 10).to(memory_format=layout)
    x = torch.randn(batch, *shape).contiguous(memory_format=layout)
    labels = torch.arange(batch) % 10
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    best = float("inf")
    for _ in range(steps):
        start = time.perf_counter()
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x), labels).backward()
        optimiser.step()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


torch.set_num_threads(1)
network, channels, height, width, batch, steps = sys.argv[1], *map(int, sys.argv[2:])
for memory_format in (torch.contiguous_format, torch.channels_last):
    print(f"{best_ms(network, (channels, height, width), batch, steps, memory_format):.3f}")
