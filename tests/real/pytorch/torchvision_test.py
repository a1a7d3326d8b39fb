#!/usr/bin/python3
"""torchvision_test.py: the definitions of networks.py, which the fixtures come from, are torchvision's: as many trainable
parameters at 224x224 and 1,000 classes, and at 32x32 the same loss and gradients from the same weights, in double. vgg5 and
vgg8 are not in torchvision. On 32x32 its vgg networks repeat their last pixel 49 times; that is left out of them here."""
import sys

try:
    import torch
    import torchvision
    from networks import build
    from torch import nn
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

THEIRS = {"vgg11": "vgg11_bn", "vgg16": "vgg16_bn", "resnet18": "resnet18", "resnet50": "resnet50",
          "mobilenetv3-small": "mobilenet_v3_small", "mobilenetv3-large": "mobilenet_v3_large"}
CLASSES, SAMPLES = 10, 6


def tensors_of(model):
    return [tensor for name, tensor in model.state_dict(keep_vars=True).items() if not name.endswith("num_batches_tracked")]


def outcome(model, x, labels):
    """Loss, and the gradients and running statistics of a step."""
    loss = nn.functional.cross_entropy(model.train()(x), labels)
    loss.backward()
    return loss.item(), [tensor.grad if tensor.grad is not None else tensor for tensor in tensors_of(model)]


def compare(network):
    theirs = getattr(torchvision.models, THEIRS[network])(num_classes=CLASSES)
    ours = build(network, 3, 32, 32, CLASSES)
    if network.startswith("vgg"):
        theirs.avgpool, theirs.classifier[0] = nn.Identity(), nn.Linear(512, 4096)
    for model in (ours, theirs):
        model.double()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    pairs = list(zip(tensors_of(ours), tensors_of(theirs), strict=True))
    for mine, other in pairs:
        assert mine.shape == other.shape, f"{network}: {mine.shape}, torchvision has {other.shape}"
        mine.data.copy_(other.data)
    x, labels = torch.randn(SAMPLES, 3, 32, 32, dtype=torch.double), torch.arange(SAMPLES) % CLASSES
    (loss, mine), (expected, other) = outcome(ours, x, labels), outcome(theirs, x, labels)
    assert abs(loss - expected) <= 1e-9 * expected, f"{network}: loss {loss}, torchvision has {expected}"
    # Doubles round by 1e-16; batch norms of 6 values one after the other enlarge that. Exact zeros stay near 0.
    for number, (a, b) in enumerate(zip(mine, other)):
        assert (a - b).norm() <= 1e-6 * b.norm() + 1e-9, f"{network}: gradient {number} is off by {(a - b).norm() / b.norm()}"


def count(network):
    with torch.no_grad():
        mine = sum(p.numel() for p in build(network, 3, 224, 224, 1000).parameters())
        return mine, sum(p.numel() for p in getattr(torchvision.models, THEIRS[network])().parameters())


torch.manual_seed(1)
torch.set_num_threads(1)
for name in THEIRS:
    mine, expected = count(name)
    assert mine == expected, f"{name}: {mine} parameters, torchvision has {expected}"
    compare(name)
    print(f"ok: {name}, {mine} parameters, torchvision {torchvision.__version__}", flush=True)
