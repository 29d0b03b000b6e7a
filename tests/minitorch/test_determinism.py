"""The same bits on every run, and with one thread or two."""

import os
import subprocess
import sys

TRAIN = """
import hashlib
import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F

torch.manual_seed(0)
vocabulary, length, width = 101, 33, 48
embed = nn.Embedding(vocabulary, width)
layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True)
head = nn.Linear(width, vocabulary, bias=False)
head.weight = embed.weight
parameters = [*embed.parameters(), *layer.parameters()]
optimizer = torch.optim.AdamW(parameters, lr=1e-3)
mask = nn.Transformer.generate_square_subsequent_mask(length)
for _ in range(3):
    ids = torch.randint(vocabulary, (16, length))
    logits = head(layer(embed(ids), src_mask=mask, is_causal=True))
    loss = F.cross_entropy(logits.reshape(-1, vocabulary), ids.reshape(-1), label_smoothing=0.1)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
digest = hashlib.sha256()
for p in parameters:
    digest.update(p.detach().numpy().tobytes())
print(loss.item(), digest.hexdigest())
"""


def run(threads):
    environment = {**os.environ, "NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    result = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_training_gives_the_same_bits_on_one_thread_and_two_and_again():
    two = run("2")
    assert run("1") == two == run("2")
