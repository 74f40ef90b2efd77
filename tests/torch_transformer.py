"""A small transformer that the tests export from PyTorch themselves, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import numpy as np

WORDS, LENGTH = 500, 32


def export(path: Path) -> Path:
    """Exports it to ONNX; torch never loads in the calling process."""
    subprocess.run([sys.executable, __file__, str(path)], check=True, capture_output=True)
    return path


def token_feeds(model, count: int) -> list[dict[str, np.ndarray]]:
    """Sequences of token numbers, common words more often than rare ones."""
    rng = np.random.default_rng(0)
    tokens = np.minimum(rng.zipf(1.3, (count, 1, LENGTH)), WORDS - 1)
    return [{model.inputs[0].name: t.astype(np.int64)} for t in tokens]


def _main(path: str) -> None:
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, width: int, heads: int) -> None:
            super().__init__()
            self.heads = heads
            self.attend, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
            self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)

        def forward(self, x):
            batch, length, width = x.shape
            parts = self.attend(self.before(x)).chunk(3, -1)
            q, k, v = (p.reshape(batch, length, self.heads, -1).transpose(1, 2) for p in parts)
            weights = torch.softmax(q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5, -1)
            x = x + self.project((weights @ v).transpose(1, 2).reshape(batch, length, width))
            return x + self.narrow(nn.functional.gelu(self.wide(self.between(x))))

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.places = nn.Embedding(WORDS, 128), nn.Parameter(torch.randn(1, LENGTH, 128) * 0.1)
            self.blocks = nn.Sequential(*(Block(128, 4) for _ in range(4)))
            self.classify = nn.Linear(128, 16)

        def forward(self, tokens):
            return self.classify(self.blocks(self.embed(tokens) + self.places).mean(1))

    torch.manual_seed(0)
    torch.onnx.export(Transformer().eval(), (torch.zeros(1, LENGTH, dtype=torch.long),), path, input_names=["tokens"],
                      output_names=["scores"], dynamo=True, external_data=False)


if __name__ == "__main__":
    _main(sys.argv[1])
