"""The networks as PyTorch modules whose state_dict has our names and order."""
from torch import nn

NETWORKS = {
    "vgg5": "C32 max2, C64 max2, C64, D128, D",
    "vgg8": "C32, C32 max2, C64, C64 max2, C128, C128, D128, D",
}


class Conv(nn.Sequential):
    def __init__(self, inputs, outputs, pool):
        super().__init__()
        self.add_module("conv", nn.Conv2d(inputs, outputs, 3, padding=1))
        self.add_module("bn", nn.BatchNorm2d(outputs))
        self.add_module("relu", nn.ReLU())
        if pool:
            self.add_module("pool", nn.MaxPool2d(2))


class Dense(nn.Sequential):
    def __init__(self, inputs, outputs, relu):
        super().__init__()
        self.add_module("flatten", nn.Flatten())
        self.add_module("linear", nn.Linear(inputs, outputs))
        if relu:
            self.add_module("relu", nn.ReLU())


def build(chain, channels, height, width, classes):
    model = nn.Sequential()
    features = None
    for number, words in enumerate(chain.split(", ")):
        size, pool = words[1:].split(" ")[0], "max2" in words
        if words[0] == "C":
            block = Conv(channels, int(size), pool)
            channels = int(size)
            height, width = (height // 2, width // 2) if pool else (height, width)
        else:
            features = features or channels * height * width
            block = Dense(features, int(size or classes), relu=bool(size))
            features = int(size or classes)
        model.add_module(f"block{number}", block)
    return model
