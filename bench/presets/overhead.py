#!/usr/bin/env python3
"""What PyTorch needs for a layer with nearly nothing in it: microseconds per layer and pass, on one thread.

The median over repetitions of forward and backward of a chain of convolution, batch norm and ReLU on a 2 x 8 x 2 x 2
tensor, over the 3 passes that the cost model counts. Needs python3-torch."""

import statistics
import sys
import time

import torch

LAYERS, REPEATS = 60, 200
torch.set_num_threads(1)
chain = []
for _ in range(LAYERS // 3):
    chain += [torch.nn.Conv2d(8, 8, 1, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU()]
net = torch.nn.Sequential(*chain)
sample = torch.randn(2, 8, 2, 2)
forward, both = [], []
for repeat in range(REPEATS):
    start = time.perf_counter()
    out = net(sample).sum()
    middle = time.perf_counter()
    out.backward()
    end = time.perf_counter()
    if repeat >= REPEATS // 10:
        forward.append(middle - start)
        both.append(end - start)
print(f"torch {torch.__version__}: forward {statistics.median(forward) / LAYERS * 1e6:.1f} us a layer, "
      f"forward and backward {statistics.median(both) / LAYERS / 3 * 1e6:.1f} us a layer and pass")
sys.exit(0)
