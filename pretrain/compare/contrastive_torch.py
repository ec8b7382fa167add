"""Training steps a second of the contrastive networks in PyTorch, to compare with `glint-pretrain evaluate speed`.

The same networks, batch, loss and optimiser on random views; prints pairs a second for each. Threads as given.
Usage: contrastive_torch.py [threads]   (pip install torch)
"""
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Perceptron(nn.Module):
    def __init__(self, inputs, layers):
        super().__init__()
        sizes = [inputs, *layers]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.norms = nn.ModuleList(nn.LayerNorm(b) for b in layers)

    def forward(self, x):
        x = F.avg_pool2d(x, 2).flatten(1)
        for layer, norm in zip(self.layers, self.norms):
            x = F.relu(norm(layer(x)))
        return x


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.GroupNorm(8, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.GroupNorm(8, outputs)
        same = stride == 1 and inputs == outputs
        self.around = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(y)) + self.around(x))


class Residual(nn.Module):
    def __init__(self, inputs, channels, blocks):
        super().__init__()
        self.stem = nn.Conv2d(inputs, channels[0], 3, 2, 1, bias=False)
        self.norm = nn.GroupNorm(8, channels[0])
        body, last = [], channels[0]
        for stage, n in enumerate(channels):
            for block in range(blocks):
                body.append(Block(last, n, 2 if stage and not block else 1))
                last = n
        self.body = nn.Sequential(*body)

    def forward(self, x):
        return self.body(F.relu(self.norm(self.stem(x)))).mean((2, 3))


class Tower(nn.Module):
    def __init__(self, encoder, features):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, 128))

    def forward(self, x):
        return F.normalize(self.head(self.encoder(x)))


def perceptron(channels, rows, columns):
    return Tower(Perceptron(channels * (rows // 2) * (columns // 2), [128, 96]), 96)


def residual(channels):
    return Tower(Residual(channels, [16, 32], 1), 32)


def speed(name, first, second, shapes, batch=256, seconds=6.0):
    optimiser = torch.optim.AdamW([*first.parameters(), *second.parameters()], lr=2e-3, weight_decay=1e-2)
    views = [torch.randn(batch, *s) for s in shapes]
    target = torch.arange(batch)

    def step():
        a, b = first(views[0]), second(views[1])
        logits = a @ b.T / 0.1
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    for _ in range(3):
        step()
    begun, steps = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        step()
        steps += 1
    print(f"{name}: {steps * batch / (time.perf_counter() - begun):.0f} pairs/s")


torch.manual_seed(1)
torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
speed("edge", perceptron(3, 28, 28), perceptron(1, 40, 32), [(3, 28, 28), (1, 40, 32)])
speed("paper-small", residual(1), residual(1), [(1, 40, 32), (1, 40, 32)])
