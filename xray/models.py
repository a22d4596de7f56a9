"""A spec becomes a torch module: the structures of the paper's Figs 6 to 8, and one of our own."""

import torch
from torch import nn

from xray.specs import IMAGE_SIZE, ModelSpec


class LinearNet(nn.Module):
    """Flatten, then Linear layers; with `relu`, a ReLU after each, the last one too (Fig 7) but
    where `last_relu` is False."""

    def __init__(
        self, image_size: int, hidden_layers: int, hidden_units: int, relu=False, last_relu=True
    ):
        super().__init__()
        widths = [image_size * image_size] + [hidden_units] * hidden_layers + [1]
        layers = [nn.Flatten()]
        for inputs, outputs in zip(widths, widths[1:]):
            layers.append(nn.Linear(inputs, outputs))
            if relu and (last_relu or outputs > 1):
                layers.append(nn.ReLU())
        self.layer_stack = nn.Sequential(*layers)

    def forward(self, images):
        return self.layer_stack(images).squeeze(1)


class TinyVGG(nn.Module):
    """The CNN (Fig 8). The padding keeps the size: 1 for kernel 3, 2 (not printed) for kernel 5.

    A block lists its layers as Fig 8 does. Its second ReLU is taken after the pooling, not before
    it: the largest of four and the cut at 0 can change places without a bit of difference to the
    output or any gradient, and the ReLU then meets a quarter of the pixels. With `batch_norm`,
    which the paper does not use, each convolution's output is normalised before its ReLU.
    """

    def __init__(self, image_size: int, filters: int, kernel_size: int, batch_norm: bool = False):
        super().__init__()

        def block(channels):
            return nn.Sequential(
                nn.Conv2d(channels, filters, kernel_size, padding=kernel_size // 2),
                nn.ReLU(),
                nn.Conv2d(filters, filters, kernel_size, padding=kernel_size // 2),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )

        self.block_1 = block(1)
        self.block_2 = block(filters)
        features = filters * (image_size // 4) ** 2
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(features, 1))
        if batch_norm:
            self.norms = nn.ModuleList(nn.BatchNorm2d(filters) for _ in range(4))

    def forward(self, images):
        value, norms = images, getattr(self, "norms", [nn.Identity()] * 4)
        for number, block in enumerate((self.block_1, self.block_2)):
            first, relu, second, last_relu, pool = block
            value = relu(norms[2 * number](first(value)))
            value = last_relu(pool(norms[2 * number + 1](second(value))))
        return self.classifier(value).squeeze(1)


class ResNet(nn.Module):
    """A small residual net, not of the paper: a convolution of stride 2, three stages that halve
    the image and of which the second and third double the filters, the mean over all pixels, one
    Linear layer.

    A stage is relu(norm(conv(relu(norm(conv(x))))) + shortcut(x)), where the shortcut is the mean
    of each 2×2 pixels and a 1×1 convolution (He et al. 2016; the mean: He et al. 2019).
    """

    def __init__(self, filters: int):
        super().__init__()

        def conv(inputs, outputs, kernel, stride=1):
            layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
            return [layer, nn.BatchNorm2d(outputs)]

        widths = [(filters, filters), (filters, 2 * filters), (2 * filters, 4 * filters)]
        self.stem = nn.Sequential(*conv(1, filters, 5, stride=2), nn.ReLU())
        self.stages = nn.ModuleList(
            nn.Sequential(
                *conv(inputs, outputs, 3, stride=2), nn.ReLU(), *conv(outputs, outputs, 3)
            )
            for inputs, outputs in widths
        )
        self.shortcuts = nn.ModuleList(
            nn.Sequential(nn.AvgPool2d(2), *conv(inputs, outputs, 1)) for inputs, outputs in widths
        )
        self.classifier = nn.Linear(4 * filters, 1)

    def forward(self, images):
        value = self.stem(images)
        for stage, shortcut in zip(self.stages, self.shortcuts):
            value = torch.relu(stage(value) + shortcut(value))
        return self.classifier(value.mean((2, 3))).squeeze(1)


def build(spec: ModelSpec, image_size: int = IMAGE_SIZE, seed: int = 0, device="cpu") -> nn.Module:
    """The module of a spec: images (N, 1, image_size, image_size), float32 in 0-1, -> logits (N,).

    Weights are PyTorch's default draw, U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and biases
    alike, from the seed alone: drawn on the CPU in the order in which layers are made, so the same
    seed gives the same weights on every device, and models of one structure start alike.
    device="meta" builds the structure without weights. Raises ValueError where image_size is not a
    positive multiple of 4 (the CNN halves it twice; 16, a ResNet).
    """
    halved = 16 if spec.family == "ResNet" else 4
    if image_size < halved or image_size % halved:
        why = f"it must be a positive multiple of {halved}"
        raise ValueError(f"image size {image_size} does not fit: {why}")
    where = "meta" if str(device) == "meta" else "cpu"
    with torch.random.fork_rng(devices=[]), torch.device(where):
        torch.default_generator.manual_seed(seed)
        if spec.family == "CNN":
            model = TinyVGG(image_size, spec.hidden_units, spec.kernel_size, spec.batch_norm)
        elif spec.family == "ResNet":
            model = ResNet(spec.hidden_units)
        else:
            relu = spec.family == "Linear+ReLU"
            model = LinearNet(
                image_size, spec.hidden_layers, spec.hidden_units, relu, spec.last_relu
            )
    return model if where == str(device) else model.to(device)


def pixel_weight(model: nn.Module) -> nn.Parameter:
    """The weight with one number per pixel (CNN: of the last feature maps); see pixel_step."""
    return next(layer.weight for layer in model.modules() if isinstance(layer, nn.Linear))


def parameter_count(model: nn.Module) -> int:
    """How many numbers training moves."""
    return sum(parameter.numel() for parameter in model.parameters())
