"""The networks as PyTorch modules whose state_dict has our names and order (the inner names are torchvision's)."""
import torch
from torch import nn

CHAINS = {
    "vgg5": "C32 max2, C64 max2, C64, D128, D",
    "vgg8": "C32, C32 max2, C64, C64 max2, C128, C128, D128, D",
    "vgg11": "C64 max2, C128 max2, C256, C256 max2, C512, C512 max2, C512, C512 max2, D4096 drop, D4096 drop, D",
    "vgg16": "C64, C64 max2, C128, C128 max2, C256, C256, C256 max2, C512, C512, C512 max2, C512, C512, C512 max2, "
             "D4096 drop, D4096 drop, D",
}
SMALL = [  # kernel, expanded, channels, squeeze, hard-swish, stride
    (3, 16, 16, True, False, 2), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2), (5, 240, 40, True, True, 1), (5, 240, 40, True, True, 1), (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1), (5, 288, 96, True, True, 2), (5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1),
]
LARGE = [
    (3, 16, 16, False, False, 1), (3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2), (5, 120, 40, True, False, 1), (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2), (3, 200, 80, False, True, 1), (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1), (3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2), (5, 960, 160, True, True, 1), (5, 960, 160, True, True, 1),
]


def named(**modules):
    sequence = nn.Sequential()
    for name, module in modules.items():
        sequence.add_module(name, module)
    return sequence


def build_chain(chain, channels, height, width, classes):
    model = nn.Sequential()
    features = None
    for number, words in enumerate(chain.split(", ")):
        size, pool = words[1:].split(" ")[0], "max2" in words
        if words[0] == "C":
            block = named(conv=nn.Conv2d(channels, int(size), 3, padding=1), bn=nn.BatchNorm2d(int(size)),
                          relu=nn.ReLU())
            if pool:
                block.add_module("pool", nn.MaxPool2d(2))
            channels = int(size)
            height, width = (height // 2, width // 2) if pool else (height, width)
        else:
            features = features or channels * height * width
            block = named(flatten=nn.Flatten(), linear=nn.Linear(features, int(size or classes)))
            features = int(size or classes)
            if size:
                block.add_module("relu", nn.ReLU())
            if "drop" in words:
                block.add_module("dropout", nn.Dropout(0.5))
        model.add_module(f"block{number}", block)
    return model


class Residual(nn.Module):
    def __init__(self, inputs, width, stride, bottleneck, last):
        super().__init__()
        channels = 4 * width if bottleneck else width
        self.last, self.depth = last, 3 if bottleneck else 2
        shapes = [(width, 1, 1), (width, 3, stride), (channels, 1, 1)] if bottleneck else [
            (width, 3, stride), (channels, 3, 1)]
        before = inputs
        for number, (outputs, kernel, step) in enumerate(shapes, 1):
            setattr(self, f"conv{number}", nn.Conv2d(before, outputs, kernel, step, kernel // 2, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(outputs))
            before = outputs
        self.downsample = None
        if stride > 1 or inputs != channels:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False),
                                            nn.BatchNorm2d(channels))

    def forward(self, x):
        y = x
        for number in range(1, self.depth + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = torch.relu(y) if number < self.depth else y
        y = torch.relu(y + (x if self.downsample is None else self.downsample(x)))
        return y.mean((2, 3)) if self.last else y


def build_resnet(counts, bottleneck, channels, classes):
    model = named(block0=named(conv=nn.Conv2d(channels, 64, 7, 2, 3, bias=False), bn=nn.BatchNorm2d(64), relu=nn.ReLU(),
                               pool=nn.MaxPool2d(3, 2, 1)))
    inputs, number = 64, 1
    for stage, count in enumerate(counts):
        for block in range(count):
            width, stride = 64 << stage, 2 if stage > 0 and block == 0 else 1
            last = stage == 3 and block == count - 1
            model.add_module(f"block{number}", Residual(inputs, width, stride, bottleneck, last))
            inputs, number = 4 * width if bottleneck else width, number + 1
    model.add_module(f"block{number}", named(linear=nn.Linear(inputs, classes)))
    return model


def eighths(value):
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


class Squeeze(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, eighths(channels // 4), 1)
        self.fc2 = nn.Conv2d(eighths(channels // 4), channels, 1)

    def forward(self, x):
        factors = self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * nn.functional.hardsigmoid(factors)


def mobile_conv(inputs, outputs, kernel, stride, groups, act):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
              nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)]
    return layers + ([act()] if act else [])


class Inverted(nn.Module):
    def __init__(self, inputs, kernel, expanded, channels, squeeze, swish, stride):
        super().__init__()
        act, parts = nn.Hardswish if swish else nn.ReLU, []
        if expanded != inputs:
            parts.append(nn.Sequential(*mobile_conv(inputs, expanded, 1, 1, 1, act)))
        parts.append(nn.Sequential(*mobile_conv(expanded, expanded, kernel, stride, expanded, act)))
        if squeeze:
            parts.append(Squeeze(expanded))
        parts.append(nn.Sequential(*mobile_conv(expanded, channels, 1, 1, 1, None)))
        self.block = nn.Sequential(*parts)
        self.residual = stride == 1 and inputs == channels

    def forward(self, x):
        return self.block(x) + x if self.residual else self.block(x)


class Average(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def build_mobilenet(blocks, features, channels, classes):
    conv, bn, act = mobile_conv(channels, 16, 3, 2, 1, nn.Hardswish)
    model = named(block0=named(conv=conv, bn=bn, act=act))
    inputs = 16
    for number, block in enumerate(blocks, 1):
        model.add_module(f"block{number}", Inverted(inputs, *block))
        inputs = block[2]
    count = len(blocks) + 1
    conv, bn, act = mobile_conv(inputs, 6 * inputs, 1, 1, 1, nn.Hardswish)
    model.add_module(f"block{count}", named(conv=conv, bn=bn, act=act, average=Average()))
    model.add_module(f"block{count + 1}", named(linear=nn.Linear(6 * inputs, features), act=nn.Hardswish(),
                                                dropout=nn.Dropout(0.2)))
    model.add_module(f"block{count + 2}", named(linear=nn.Linear(features, classes)))
    return model


def build(network, channels, height, width, classes):
    if network in CHAINS:
        if network in ("vgg11", "vgg16") and (height, width) == (28, 28):
            return nn.Sequential(nn.ZeroPad2d(2), build_chain(CHAINS[network], channels, 32, 32, classes))
        return build_chain(CHAINS[network], channels, height, width, classes)
    if network == "resnet18":
        return build_resnet((2, 2, 2, 2), False, channels, classes)
    if network == "resnet50":
        return build_resnet((3, 4, 6, 3), True, channels, classes)
    if network == "mobilenetv3-small":
        return build_mobilenet(SMALL, 1024, channels, classes)
    if network == "mobilenetv3-large":
        return build_mobilenet(LARGE, 1280, channels, classes)
    raise ValueError(network)
