"""Programs that people learn from, written once and run twice: with minitorch alone, and side by side with PyTorch.

A program is a function of the three modules that its first lines would import: ``program(torch, nn, F)``. It returns the
model, and a function that trains it and returns what it saw on the way: losses and outputs.
"""

# ruff: noqa: UP008, C408  (the programs are written as people write them)
import copy
import inspect
import math

import numpy as np
import pytest

import minitorch
import minitorch.nn
import minitorch.nn.functional

MINITORCH = minitorch, minitorch.nn, minitorch.nn.functional
PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


NAMES = "ada alan barbara claude donald edsger emmy frances grace hedy john katherine kurt leslie margaret niklaus".split()
LETTERS = {letter: i for i, letter in enumerate("." + "abcdefghijklmnopqrstuvwxyz")}


def numbers(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def integers(seed, high, *shape):
    return np.random.default_rng(seed).integers(0, high, shape)


# ---------------------------------------------------------------------------------------------------------------------
# first steps

@program
def one_neuron(torch, nn, F):
    """One neuron, number by number, gradients read off every node."""
    x1, x2 = torch.tensor(2.0, requires_grad=True), torch.tensor(0.0, requires_grad=True)
    w1, w2 = torch.tensor(-3.0, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    b = torch.tensor(6.8813735870195432, requires_grad=True)

    def train():
        n = x1 * w1 + x2 * w2 + b
        n.retain_grad()
        o = (2 * n).exp()
        o = (o - 1) / (o + 1)
        o.backward()
        assert f"{o.item():.4f}" == "0.7071"
        return [o.item(), n.grad.item(), *(t.grad.item() for t in (x1, x2, w1, w2, b))]

    return None, train


@program
def line_by_hand(torch, nn, F):
    """Linear regression without a module or an optimiser: the update is written out."""
    x = torch.linspace(-1, 1, 20).unsqueeze(1)
    y = 3 * x + 2
    parameters = [torch.zeros(1, 1, requires_grad=True), torch.zeros(1, requires_grad=True)]

    def train():
        losses = []
        for _ in range(40):
            w, b = parameters
            loss = ((x @ w + b - y) ** 2).mean()
            loss.backward()
            with torch.no_grad():
                for p in parameters:
                    p -= 0.3 * p.grad
                    p.grad.zero_()
            losses.append(loss.item())
        return losses

    return None, train


@program
def xor(torch, nn, F):
    """The classic that one layer cannot do."""
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    criterion = nn.BCELoss()

    def train():
        losses = []
        for _ in range(80):
            optimizer.zero_grad()
            prediction = model(x)
            loss = criterion(prediction, y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with torch.no_grad():
            accuracy = ((model(x) > 0.5).float() == y).float().mean()
        return losses, [accuracy.item()]

    return model, train


@program
def logistic_regression(torch, nn, F):
    """A classifier trained on mini-batches, with NumPy data in float64 cast on the way in."""
    data = np.random.default_rng(3)
    points = data.standard_normal((90, 2)) + np.repeat([[2, 0], [-2, 2], [0, -3]], 30, axis=0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.from_numpy(points).float().to(device)
    y = torch.tensor(np.repeat([0, 1, 2], 30), dtype=torch.long).to(device)

    class Classifier(nn.Module):
        def __init__(self):
            super(Classifier, self).__init__()
            self.linear = nn.Linear(2, 3)

        def forward(self, x):
            return self.linear(x)

    model = Classifier().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)

    def train():
        losses = []
        for _ in range(5):
            for start in range(0, len(x), 30):
                batch, labels = x[start:start + 30], y[start:start + 30]
                loss = F.cross_entropy(model(batch), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            _, predicted = torch.max(model(x), 1)
        correct = (predicted == y).sum().item()
        return losses, [correct / y.size(0)]

    return model, train


@program
def autoencoder(torch, nn, F):
    """Squeeze and rebuild; dropout is there but switched off."""
    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(12, 8), nn.ReLU(True), nn.Dropout(0.0), nn.Linear(8, 3))
            self.decoder = nn.Sequential(nn.Linear(3, 8), nn.LeakyReLU(0.1), nn.Linear(8, 12))

        def forward(self, x):
            return self.decoder(self.encoder(x))

    model = Autoencoder()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.5)
    x = torch.tensor(numbers(4, 32, 3) @ numbers(5, 3, 12))

    def train():
        losses = []
        for _ in range(30):
            optimizer.zero_grad(set_to_none=True)
            loss = nn.MSELoss()(model(x), x)
            loss.backward()
            optimizer.step()
            scheduler.step()
            losses += [loss.item(), scheduler.get_last_lr()[0]]
        return losses

    return model, train


# ---------------------------------------------------------------------------------------------------------------------
# letters, after makemore

def bigrams(torch):
    text = [[0, *(LETTERS[c] for c in name), 0] for name in NAMES]
    pairs = [(a, b) for name in text for a, b in zip(name, name[1:])]
    return torch.tensor([a for a, _ in pairs]), torch.tensor([b for _, b in pairs])


@program
def bigram(torch, nn, F):
    """A table of log-counts learnt by gradient descent, and names drawn from it."""
    xs, ys = bigrams(torch)
    counts = torch.zeros((27, 27), dtype=torch.int32)
    for a, b in zip(xs, ys):
        counts[a, b] += 1
    P = (counts + 1).float()
    P = P / P.sum(1, keepdim=True)
    counted = -P[xs, ys].log().mean()
    W = torch.tensor(numbers(1, 27, 27), requires_grad=True)

    def train():
        losses = [counted.item()]
        for _ in range(20):
            xenc = F.one_hot(xs, num_classes=27).float()
            logits = xenc @ W
            n = logits.exp()
            probs = n / n.sum(1, keepdims=True)
            loss = -probs[torch.arange(xs.nelement()), ys].log().mean() + 0.01 * (W ** 2).mean()
            W.grad = None
            loss.backward()
            W.data += -20 * W.grad
            losses.append(loss.item())
        g = torch.Generator().manual_seed(2147483647)
        ix, out = 0, []
        while len(out) < 5:
            p = F.one_hot(torch.tensor([ix]), num_classes=27).float() @ W
            ix = torch.multinomial(p.softmax(1), num_samples=1, replacement=True, generator=g).item()
            out.append(ix)
        assert all(0 <= i < 27 for i in out)
        return losses, W.grad

    return None, train


@program
def backprop_ninja(torch, nn, F):
    """An MLP with batch normalisation written out, and every gradient derived by hand and compared with autograd's."""
    Xb, Yb, n = torch.tensor(integers(1, 27, 8, 3)), torch.tensor(integers(2, 27, 8)), 8
    shapes = dict(C=(27, 4), W1=(12, 10), b1=(10,), W2=(10, 27), b2=(27,), bngain=(1, 10), bnbias=(1, 10))
    parameters = [torch.tensor(0.3 * numbers(i, *shape)) for i, shape in enumerate(shapes.values())]
    C, W1, b1, W2, b2, bngain, bnbias = parameters
    for p in parameters:
        p.requires_grad = True

    def train():
        emb = C[Xb]
        embcat = emb.view(emb.shape[0], -1)
        hprebn = embcat @ W1 + b1
        bnmeani = 1 / n * hprebn.sum(0, keepdim=True)
        bndiff = hprebn - bnmeani
        bndiff2 = bndiff ** 2
        bnvar = 1 / (n - 1) * bndiff2.sum(0, keepdim=True)
        bnvar_inv = (bnvar + 1e-5) ** -0.5
        bnraw = bndiff * bnvar_inv
        hpreact = bngain * bnraw + bnbias
        h = torch.tanh(hpreact)
        logits = h @ W2 + b2
        logit_maxes = logits.max(1, keepdim=True).values
        norm_logits = logits - logit_maxes
        counts = norm_logits.exp()
        counts_sum = counts.sum(1, keepdims=True)
        counts_sum_inv = counts_sum ** -1
        probs = counts * counts_sum_inv
        logprobs = probs.log()
        loss = -logprobs[range(n), Yb].mean()
        for t in [logprobs, probs, counts, counts_sum, counts_sum_inv, norm_logits, logit_maxes, logits, h, hpreact,
                  bnraw, bnvar_inv, bnvar, bndiff2, bndiff, hprebn, bnmeani, embcat, emb]:
            t.retain_grad()
        loss.backward()

        dlogprobs = torch.zeros_like(logprobs)
        dlogprobs[range(n), Yb] = -1.0 / n
        dprobs = (1.0 / probs) * dlogprobs
        dcounts_sum_inv = (counts * dprobs).sum(1, keepdim=True)
        dcounts = counts_sum_inv * dprobs
        dcounts_sum = (-counts_sum ** -2) * dcounts_sum_inv
        dcounts += torch.ones_like(counts) * dcounts_sum
        dnorm_logits = counts * dcounts
        dlogits = dnorm_logits.clone()
        dlogit_maxes = (-dnorm_logits).sum(1, keepdim=True)
        dlogits += F.one_hot(logits.max(1).indices, num_classes=logits.shape[1]) * dlogit_maxes
        dh = dlogits @ W2.T
        dW2 = h.T @ dlogits
        db2 = dlogits.sum(0)
        dhpreact = (1.0 - h ** 2) * dh
        dbngain = (bnraw * dhpreact).sum(0, keepdim=True)
        dbnraw = bngain * dhpreact
        dbnbias = dhpreact.sum(0, keepdim=True)
        dbndiff = bnvar_inv * dbnraw
        dbnvar_inv = (bndiff * dbnraw).sum(0, keepdim=True)
        dbnvar = (-0.5 * (bnvar + 1e-5) ** -1.5) * dbnvar_inv
        dbndiff2 = (1.0 / (n - 1)) * torch.ones_like(bndiff2) * dbnvar
        dbndiff += (2 * bndiff) * dbndiff2
        dhprebn = dbndiff.clone()
        dbnmeani = (-dbndiff).sum(0)
        dhprebn += 1.0 / n * (torch.ones_like(hprebn) * dbnmeani)
        dembcat = dhprebn @ W1.T
        dW1 = embcat.T @ dhprebn
        db1 = dhprebn.sum(0)
        demb = dembcat.view(emb.shape)
        dC = torch.zeros_like(C)
        for k in range(Xb.shape[0]):
            for j in range(Xb.shape[1]):
                ix = Xb[k, j]
                with torch.no_grad():
                    dC[ix] += demb[k, j]
        by_hand = {"dC": (dC, C), "dW1": (dW1, W1), "db1": (db1, b1), "dW2": (dW2, W2), "db2": (db2, b2),
                   "demb": (demb, emb),
                   "dbngain": (dbngain, bngain), "dbnbias": (dbnbias, bnbias), "dlogits": (dlogits, logits)}
        for name, (dt, t) in by_hand.items():
            exact = torch.all(dt == t.grad).item()
            assert exact or torch.allclose(dt, t.grad, atol=1e-6), f"{name}: maxdiff {(dt - t.grad).abs().max().item()}"
        return [loss.item()], *(p.grad for p in parameters)

    return None, train


@program
def character_mlp(torch, nn, F):
    """Three letters predict the fourth: embedding by indexing, layers written as plain classes."""
    class Linear:
        def __init__(self, fan_in, fan_out, seed):
            self.weight = torch.tensor(numbers(seed, fan_in, fan_out)) / fan_in ** 0.5
            self.bias = torch.zeros(fan_out)

        def __call__(self, x):
            self.out = x @ self.weight
            if self.bias is not None:
                self.out += self.bias
            return self.out

        def parameters(self):
            return [self.weight] + ([] if self.bias is None else [self.bias])

    class BatchNorm1d:
        def __init__(self, dim, eps=1e-5, momentum=0.1):
            self.eps, self.momentum, self.training = eps, momentum, True
            self.gamma, self.beta = torch.ones(dim), torch.zeros(dim)
            self.running_mean, self.running_var = torch.zeros(dim), torch.ones(dim)

        def __call__(self, x):
            if self.training:
                xmean, xvar = x.mean(0, keepdim=True), x.var(0, keepdim=True)
            else:
                xmean, xvar = self.running_mean, self.running_var
            self.out = self.gamma * (x - xmean) / torch.sqrt(xvar + self.eps) + self.beta
            if self.training:
                with torch.no_grad():
                    self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * xmean
                    self.running_var = (1 - self.momentum) * self.running_var + self.momentum * xvar
            return self.out

        def parameters(self):
            return [self.gamma, self.beta]

    class Tanh:
        def __call__(self, x):
            self.out = torch.tanh(x)
            return self.out

        def parameters(self):
            return []

    X, Y = [], []
    for name in NAMES:
        context = [0] * 3
        for ch in name + ".":
            X.append(context)
            Y.append(LETTERS[ch])
            context = context[1:] + [LETTERS[ch]]
    X, Y = torch.tensor(X), torch.tensor(Y)
    C = torch.tensor(numbers(1, 27, 6))
    layers = [Linear(18, 20, 2), BatchNorm1d(20), Tanh(), Linear(20, 27, 3), BatchNorm1d(27)]
    with torch.no_grad():
        layers[-1].gamma *= 0.1
        layers[0].weight *= 5 / 3
    parameters = [C] + [p for layer in layers for p in layer.parameters()]
    for p in parameters:
        p.requires_grad = True

    def train():
        losses = []
        for i in range(25):
            x = C[X].view(X.shape[0], -1)
            for layer in layers:
                x = layer(x)
            loss = F.cross_entropy(x, Y)
            for layer in layers:
                layer.out.retain_grad()
            for p in parameters:
                p.grad = None
            loss.backward()
            lr = 0.1 if i < 20 else 0.01
            for p in parameters:
                p.data += -lr * p.grad
            losses.append(loss.log10().item())
        spread = [((lr * p.grad).std() / p.data.std()).log10().item() for p in parameters if p.ndim == 2]
        return losses, spread, layers[1].running_var, layers[0].out.grad

    return None, train


# ---------------------------------------------------------------------------------------------------------------------
# a GPT, after nanoGPT and minGPT

@program
def gpt(torch, nn, F):
    """A decoder with tied weights, two parameter groups, a warm-up by hand, accumulated and clipped gradients."""
    vocab_size, block_size, n_layer, n_head, n_embd = 23, 8, 2, 4, 16

    class CausalSelfAttention(nn.Module):
        def __init__(self):
            super().__init__()
            self.c_attn = nn.Linear(n_embd, 3 * n_embd)
            self.c_proj = nn.Linear(n_embd, n_embd)
            self.attn_dropout, self.resid_dropout = nn.Dropout(0.0), nn.Dropout(0.0)
            self.register_buffer("bias", torch.tril(torch.ones(block_size, block_size)).view(1, 1, block_size, block_size))
            self.flash = hasattr(torch.nn.functional, "scaled_dot_product_attention")

        def forward(self, x):
            B, T, C = x.size()
            q, k, v = self.c_attn(x).split(n_embd, dim=2)
            k = k.view(B, T, n_head, C // n_head).transpose(1, 2)
            q = q.view(B, T, n_head, C // n_head).transpose(1, 2)
            v = v.view(B, T, n_head, C // n_head).transpose(1, 2)
            if self.flash and self.training and T % 2:
                y = F.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=0, is_causal=True)
            else:
                att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
                att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
                att = F.softmax(att, dim=-1)
                att = self.attn_dropout(att)
                y = att @ v
            y = y.transpose(1, 2).contiguous().view(B, T, C)
            return self.resid_dropout(self.c_proj(y))

    class NewGELU(nn.Module):
        def forward(self, x):
            return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln_1 = nn.LayerNorm(n_embd)
            self.attn = CausalSelfAttention()
            self.ln_2 = nn.LayerNorm(n_embd)
            self.mlp = nn.ModuleDict(dict(c_fc=nn.Linear(n_embd, 4 * n_embd), c_proj=nn.Linear(4 * n_embd, n_embd),
                                          act=NewGELU(), dropout=nn.Dropout(0.0)))
            m = self.mlp
            self.mlpf = lambda x: m.dropout(m.c_proj(m.act(m.c_fc(x))))

        def forward(self, x):
            x = x + self.attn(self.ln_1(x))
            return x + self.mlpf(self.ln_2(x))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.transformer = nn.ModuleDict(dict(
                wte=nn.Embedding(vocab_size, n_embd), wpe=nn.Embedding(block_size, n_embd), drop=nn.Dropout(0.0),
                h=nn.ModuleList([Block() for _ in range(n_layer)]), ln_f=nn.LayerNorm(n_embd)))
            self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)
            self.transformer.wte.weight = self.lm_head.weight
            self.apply(self._init_weights)
            for pn, p in self.named_parameters():
                if pn.endswith("c_proj.weight"):
                    torch.nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * n_layer))

        def get_num_params(self, non_embedding=True):
            n_params = sum(p.numel() for p in self.parameters())
            return n_params - self.transformer.wpe.weight.numel() if non_embedding else n_params

        def _init_weights(self, module):
            if isinstance(module, nn.Linear):
                torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)
                if module.bias is not None:
                    torch.nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)

        def forward(self, idx, targets=None):
            device = idx.device
            b, t = idx.size()
            assert t <= block_size, f"Cannot forward sequence of length {t}, block size is only {block_size}"
            pos = torch.arange(0, t, dtype=torch.long, device=device)
            x = self.transformer.drop(self.transformer.wte(idx) + self.transformer.wpe(pos))
            for block in self.transformer.h:
                x = block(x)
            x = self.transformer.ln_f(x)
            if targets is None:
                return self.lm_head(x[:, [-1], :]), None
            logits = self.lm_head(x)
            return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)

        def configure_optimizers(self):
            param_dict = {pn: p for pn, p in self.named_parameters() if p.requires_grad}
            decay = [p for n, p in param_dict.items() if p.dim() >= 2]
            nodecay = [p for n, p in param_dict.items() if p.dim() < 2]
            groups = [{"params": decay, "weight_decay": 0.1}, {"params": nodecay, "weight_decay": 0.0}]
            fused = "fused" in inspect.signature(torch.optim.AdamW).parameters
            return torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), **(dict(fused=False) if fused else dict()))

        @torch.no_grad()
        def generate(self, idx, max_new_tokens, temperature=1.0, top_k=None, do_sample=False):
            for _ in range(max_new_tokens):
                idx_cond = idx if idx.size(1) <= block_size else idx[:, -block_size:]
                logits, _ = self(idx_cond)
                logits = logits[:, -1, :] / temperature
                if top_k is not None:
                    v, _ = torch.topk(logits, min(top_k, logits.size(-1)))
                    logits[logits < v[:, [-1]]] = -float("Inf")
                probs = F.softmax(logits, dim=-1)
                if do_sample:
                    idx_next = torch.multinomial(probs, num_samples=1)
                else:
                    _, idx_next = torch.topk(probs, k=1, dim=-1)
                idx = torch.cat((idx, idx_next), dim=1)
            return idx

    model = GPT()
    text = torch.tensor(integers(7, vocab_size, 40))

    def get_batch(step, T):
        ix = [(step * 5 + i * 3) % (len(text) - T - 1) for i in range(4)]
        x = torch.stack([text[i:i + T] for i in ix])
        y = torch.stack([text[i + 1:i + 1 + T] for i in ix])
        return x.to("cpu"), y.to("cpu")

    def train():
        optimizer = model.configure_optimizers()
        losses = [model.get_num_params()]
        model.train()
        for step in range(12):
            for group in optimizer.param_groups:
                group["lr"] = 1e-2 * min(1.0, (step + 1) / 4)
            for micro in range(2):
                X, Y = get_batch(step + micro, 8 - micro)
                logits, loss = model(X, Y)
                (loss / 2).backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses += [loss.item(), norm.item()]
        _, loss = model(X, Y)
        loss.backward()
        model.eval()
        start = torch.tensor([[1, 2], [3, 4]], dtype=torch.long)
        sampled = model.generate(start, 10, top_k=3, do_sample=True)
        assert sampled.shape == (2, 12) and sampled.max() < vocab_size
        return losses, model.generate(start, 10, top_k=5)

    return model, train


# ---------------------------------------------------------------------------------------------------------------------
# an encoder-decoder, after "The annotated transformer"

@program
def annotated_transformer(torch, nn, F):
    """Every part written out: attention, LayerNorm, sinusoids, label smoothing by KL divergence, the Noam schedule."""
    def clones(module, N):
        return nn.ModuleList([copy.deepcopy(module) for _ in range(N)])

    class LayerNorm(nn.Module):
        def __init__(self, features, eps=1e-6):
            super(LayerNorm, self).__init__()
            self.a_2 = nn.Parameter(torch.ones(features))
            self.b_2 = nn.Parameter(torch.zeros(features))
            self.eps = eps

        def forward(self, x):
            mean = x.mean(-1, keepdim=True)
            std = x.std(-1, keepdim=True)
            return self.a_2 * (x - mean) / (std + self.eps) + self.b_2

    class SublayerConnection(nn.Module):
        def __init__(self, size, dropout):
            super(SublayerConnection, self).__init__()
            self.norm = LayerNorm(size)
            self.dropout = nn.Dropout(dropout)

        def forward(self, x, sublayer):
            return x + self.dropout(sublayer(self.norm(x)))

    def subsequent_mask(size):
        return torch.triu(torch.ones((1, size, size)), diagonal=1).type(torch.uint8) == 0

    def attention(query, key, value, mask=None, dropout=None):
        d_k = query.size(-1)
        scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(d_k)
        if mask is not None:
            scores = scores.masked_fill(mask == 0, -1e9)
        p_attn = scores.softmax(dim=-1)
        if dropout is not None:
            p_attn = dropout(p_attn)
        return torch.matmul(p_attn, value), p_attn

    class MultiHeadedAttention(nn.Module):
        def __init__(self, h, d_model, dropout=0.0):
            super(MultiHeadedAttention, self).__init__()
            assert d_model % h == 0
            self.d_k, self.h = d_model // h, h
            self.linears = clones(nn.Linear(d_model, d_model), 4)
            self.attn = None
            self.dropout = nn.Dropout(p=dropout)

        def forward(self, query, key, value, mask=None):
            if mask is not None:
                mask = mask.unsqueeze(1)
            nbatches = query.size(0)
            query, key, value = [lin(x).view(nbatches, -1, self.h, self.d_k).transpose(1, 2)
                                 for lin, x in zip(self.linears, (query, key, value))]
            x, self.attn = attention(query, key, value, mask=mask, dropout=self.dropout)
            x = x.transpose(1, 2).contiguous().view(nbatches, -1, self.h * self.d_k)
            del query, key, value
            return self.linears[-1](x)

    class PositionwiseFeedForward(nn.Module):
        def __init__(self, d_model, d_ff):
            super(PositionwiseFeedForward, self).__init__()
            self.w_1, self.w_2 = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)

        def forward(self, x):
            return self.w_2(self.w_1(x).relu())

    class EncoderLayer(nn.Module):
        def __init__(self, size, self_attn, feed_forward, dropout):
            super(EncoderLayer, self).__init__()
            self.self_attn, self.feed_forward = self_attn, feed_forward
            self.sublayer = clones(SublayerConnection(size, dropout), 2)
            self.size = size

        def forward(self, x, mask):
            x = self.sublayer[0](x, lambda x: self.self_attn(x, x, x, mask))
            return self.sublayer[1](x, self.feed_forward)

    class DecoderLayer(nn.Module):
        def __init__(self, size, self_attn, src_attn, feed_forward, dropout):
            super(DecoderLayer, self).__init__()
            self.size, self.self_attn, self.src_attn, self.feed_forward = size, self_attn, src_attn, feed_forward
            self.sublayer = clones(SublayerConnection(size, dropout), 3)

        def forward(self, x, memory, src_mask, tgt_mask):
            m = memory
            x = self.sublayer[0](x, lambda x: self.self_attn(x, x, x, tgt_mask))
            x = self.sublayer[1](x, lambda x: self.src_attn(x, m, m, src_mask))
            return self.sublayer[2](x, self.feed_forward)

    class Stack(nn.Module):
        def __init__(self, layer, N):
            super(Stack, self).__init__()
            self.layers, self.norm = clones(layer, N), LayerNorm(layer.size)

        def forward(self, x, *rest):
            for layer in self.layers:
                x = layer(x, *rest)
            return self.norm(x)

    class Embeddings(nn.Module):
        def __init__(self, d_model, vocab):
            super(Embeddings, self).__init__()
            self.lut, self.d_model = nn.Embedding(vocab, d_model), d_model

        def forward(self, x):
            return self.lut(x) * math.sqrt(self.d_model)

    class PositionalEncoding(nn.Module):
        def __init__(self, d_model, dropout, max_len=50):
            super(PositionalEncoding, self).__init__()
            self.dropout = nn.Dropout(p=dropout)
            pe = torch.zeros(max_len, d_model)
            position = torch.arange(0, max_len).unsqueeze(1)
            div_term = torch.exp(torch.arange(0, d_model, 2) * -(math.log(10000.0) / d_model))
            pe[:, 0::2] = torch.sin(position * div_term)
            pe[:, 1::2] = torch.cos(position * div_term)
            pe = pe.unsqueeze(0)
            self.register_buffer("pe", pe)

        def forward(self, x):
            x = x + self.pe[:, : x.size(1)].requires_grad_(False)
            return self.dropout(x)

    class EncoderDecoder(nn.Module):
        def __init__(self, vocab, N=2, d_model=16, d_ff=32, h=4, dropout=0.0):
            super(EncoderDecoder, self).__init__()
            c = copy.deepcopy
            attn, ff = MultiHeadedAttention(h, d_model), PositionwiseFeedForward(d_model, d_ff)
            position = PositionalEncoding(d_model, dropout)
            self.encoder = Stack(EncoderLayer(d_model, c(attn), c(ff), dropout), N)
            self.decoder = Stack(DecoderLayer(d_model, c(attn), c(attn), c(ff), dropout), N)
            self.src_embed = nn.Sequential(Embeddings(d_model, vocab), c(position))
            self.tgt_embed = nn.Sequential(Embeddings(d_model, vocab), c(position))
            self.generator = nn.Linear(d_model, vocab)
            for p in self.parameters():
                if p.dim() > 1:
                    nn.init.xavier_uniform_(p)

        def encode(self, src, src_mask):
            return self.encoder(self.src_embed(src), src_mask)

        def decode(self, memory, src_mask, tgt, tgt_mask):
            return self.decoder(self.tgt_embed(tgt), memory, src_mask, tgt_mask)

        def forward(self, src, tgt, src_mask, tgt_mask):
            out = self.decode(self.encode(src, src_mask), src_mask, tgt, tgt_mask)
            return F.log_softmax(self.generator(out), dim=-1)

    class LabelSmoothing(nn.Module):
        def __init__(self, size, padding_idx, smoothing=0.0):
            super(LabelSmoothing, self).__init__()
            self.criterion = nn.KLDivLoss(reduction="sum")
            self.padding_idx, self.confidence, self.smoothing = padding_idx, 1.0 - smoothing, smoothing
            self.size, self.true_dist = size, None

        def forward(self, x, target):
            assert x.size(1) == self.size
            true_dist = torch.full_like(x, self.smoothing / (self.size - 2))
            true_dist = true_dist.scatter(1, target.unsqueeze(1), self.confidence)
            true_dist[:, self.padding_idx] = 0
            mask = torch.nonzero(target == self.padding_idx)
            if mask.dim() > 0:
                true_dist = true_dist.index_fill(0, mask.squeeze(1), 0.0)
            self.true_dist = true_dist
            return self.criterion(x, true_dist.clone().detach())

    def rate(step, model_size, factor, warmup):
        step = 1 if step == 0 else step
        return factor * (model_size ** (-0.5) * min(step ** (-0.5), step * warmup ** (-1.5)))

    V = 11
    model = EncoderDecoder(V)
    criterion = LabelSmoothing(size=V, padding_idx=0, smoothing=0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5, betas=(0.9, 0.98), eps=1e-9)
    lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer=optimizer, lr_lambda=lambda step: rate(step, model_size=16, factor=1.0, warmup=10))

    def train():
        losses = []
        for step in range(8):
            data = integers(step, V - 1, 4, 6) + 1
            data[:, 0] = 1
            data[1, 4:] = 0
            data = torch.tensor(data)
            src, tgt, tgt_y = data, data[:, :-1], data[:, 1:]
            src_mask = (src != 0).unsqueeze(-2)
            tgt_mask = (tgt != 0).unsqueeze(-2)
            tgt_mask = tgt_mask & subsequent_mask(tgt.size(-1)).type_as(tgt_mask)
            out = model(src, tgt, src_mask, tgt_mask)
            ntokens = (tgt_y != 0).sum()
            loss = criterion(out.contiguous().view(-1, out.size(-1)), tgt_y.contiguous().view(-1)) / ntokens
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            lr_scheduler.step()
            losses += [loss.item(), optimizer.param_groups[0]["lr"]]

        def greedy_decode(src, src_mask, max_len, start_symbol):
            memory = model.encode(src, src_mask)
            ys = torch.zeros(1, 1).fill_(start_symbol).type_as(src.data)
            for _ in range(max_len - 1):
                out = model.decode(memory, src_mask, ys, subsequent_mask(ys.size(1)).type_as(src.data))
                prob = model.generator(out[:, -1])
                _, next_word = torch.max(prob, dim=1)
                next_word = next_word.data[0]
                ys = torch.cat([ys, torch.zeros(1, 1).type_as(src.data).fill_(next_word)], dim=1)
            return ys

        model.eval()
        return losses, greedy_decode(torch.arange(1, 8).unsqueeze(0), torch.ones(1, 1, 7), 6, 1)

    return model, train


# ---------------------------------------------------------------------------------------------------------------------
# the library's own Transformer

@program
def bert_classifier(torch, nn, F):
    """An encoder with padding masks; the first position says which class."""
    class Encoder(nn.Module):
        def __init__(self, vocab=30, d=16):
            super().__init__()
            self.token, self.position = nn.Embedding(vocab, d, padding_idx=0), nn.Embedding(12, d)
            self.cls = nn.Parameter(torch.zeros(1, 1, d))
            layer = nn.TransformerEncoderLayer(d_model=d, nhead=4, dim_feedforward=32, dropout=0.0, activation="gelu",
                                               batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, num_layers=2, norm=nn.LayerNorm(d), enable_nested_tensor=False)
            self.head = nn.Sequential(nn.Linear(d, d), nn.Tanh(), nn.Linear(d, 2))

        def forward(self, ids):
            positions = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape[0], -1)
            x = self.token(ids) + self.position(positions)
            x = torch.cat([self.cls.expand(x.size(0), -1, -1), x], dim=1)
            padding = torch.cat([torch.zeros(ids.size(0), 1, dtype=torch.bool), ids.eq(0)], dim=1)
            return self.head(self.encoder(x, src_key_padding_mask=padding)[:, 0])

    model = Encoder()
    ids = integers(9, 29, 6, 10) + 1
    ids[2, 5:], ids[4, 7:] = 0, 0
    ids, labels = torch.as_tensor(ids), torch.tensor([0, 1, 1, 0, 1, 0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)

    def train():
        losses = []
        for _ in range(10):
            optimizer.zero_grad()
            loss = criterion(model(ids), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            return losses, model(ids).argmax(dim=-1).tolist(), F.softmax(model(ids), dim=-1)

    return model, train


@program
def seq2seq(torch, nn, F):
    """nn.Transformer, sequence first, learns to reverse digits: causal mask, padding masks, teacher forcing."""
    class Seq2Seq(nn.Module):
        def __init__(self, vocab=12, d=16):
            super().__init__()
            self.embed = nn.Embedding(vocab, d)
            self.transformer = nn.Transformer(d_model=d, nhead=2, num_encoder_layers=1, num_decoder_layers=2,
                                              dim_feedforward=24, dropout=0.0)
            self.fc_out = nn.Linear(d, vocab)
            self.register_buffer("scale", torch.sqrt(torch.FloatTensor([d])))

        def forward(self, src, tgt):
            tgt_mask = nn.Transformer.generate_square_subsequent_mask(tgt.size(0))
            pad = (src == 0).transpose(0, 1)
            y = self.transformer(self.embed(src) * self.scale, self.embed(tgt) * self.scale, tgt_mask=tgt_mask,
                                 src_key_padding_mask=pad, memory_key_padding_mask=pad)
            return self.fc_out(y)

    model = Seq2Seq()
    src = integers(11, 9, 6, 5) + 3
    tgt = np.concatenate([np.full((1, 5), 1), src[::-1], np.full((1, 5), 2)])
    src[4:, 1] = 0
    src, tgt = torch.tensor(src), torch.tensor(tgt)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, betas=(0.9, 0.98), eps=1e-9)
    loss_fn = nn.CrossEntropyLoss(ignore_index=0)

    def train():
        losses = []
        for _ in range(10):
            logits = model(src, tgt[:-1, :])
            loss = loss_fn(logits.reshape(-1, logits.shape[-1]), tgt[1:, :].reshape(-1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses, logits.detach()

    return model, train


# ---------------------------------------------------------------------------------------------------------------------
# parts that texts like to write out

@program
def residual_blocks(torch, nn, F):
    """`out += identity`, `nn.ReLU(inplace=True)`, and a shortcut where the width changes."""
    class ResidualBlock(nn.Module):
        def __init__(self, in_features, out_features):
            super().__init__()
            self.linear1, self.norm1 = nn.Linear(in_features, out_features, bias=False), nn.LayerNorm(out_features)
            self.relu = nn.ReLU(inplace=True)
            self.linear2, self.norm2 = nn.Linear(out_features, out_features, bias=False), nn.LayerNorm(out_features)
            self.shortcut = nn.Sequential()
            if in_features != out_features:
                self.shortcut = nn.Sequential(nn.Linear(in_features, out_features), nn.LayerNorm(out_features))

        def forward(self, x):
            identity = self.shortcut(x)
            out = self.relu(self.norm1(self.linear1(x)))
            out = self.norm2(self.linear2(out))
            out += identity
            return F.relu(out, inplace=True)

    model = nn.Sequential(*[ResidualBlock(6 if i == 0 else 10, 10) for i in range(4)], nn.Linear(10, 3))
    x, y = torch.tensor(numbers(20, 16, 6)), torch.tensor(integers(21, 3, 16))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)

    def train():
        losses = []
        for _ in range(10):
            optimizer.zero_grad()
            loss = F.nll_loss(F.log_softmax(model(x), dim=1), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses, [p.grad.norm().item() for p in model.parameters()]

    return model, train


@program
def layernorm_by_hand(torch, nn, F):
    """LayerNorm from mean and var, equal to the library's; pre-norm and post-norm on top of it."""
    class LayerNorm(nn.Module):
        def __init__(self, d_model, eps=1e-5):
            super().__init__()
            self.gamma = nn.Parameter(torch.ones(d_model))
            self.beta = nn.Parameter(torch.zeros(d_model))
            self.eps = eps

        def forward(self, x):
            mean = x.mean(-1, keepdim=True)
            var = x.var(-1, unbiased=False, keepdim=True)
            x_hat = (x - mean) / torch.sqrt(var + self.eps)
            return self.gamma * x_hat + self.beta

    class PreNorm(nn.Module):
        def __init__(self, d, fn):
            super().__init__()
            self.norm, self.fn = LayerNorm(d), fn

        def forward(self, x, **kwargs):
            return self.fn(self.norm(x), **kwargs) + x

    class PostNorm(nn.Module):
        def __init__(self, d, fn):
            super().__init__()
            self.norm, self.fn = LayerNorm(d), fn

        def forward(self, x, **kwargs):
            return self.norm(x + self.fn(x, **kwargs))

    model = nn.Sequential()
    for i, wrap in enumerate([PreNorm, PostNorm, PreNorm]):
        model.add_module(f"block{i}", wrap(8, nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))))
    x = torch.tensor(3 * numbers(22, 4, 5, 8) + 7)

    def train():
        y = model(x)
        assert torch.allclose(LayerNorm(8)(x), F.layer_norm(x, (8,)), atol=1e-5)
        loss = (y - y.flip(0)).abs().mean() + y.clamp(min=-1, max=1).pow(2).sum()
        loss.backward()
        return [loss.item()], y

    return model, train


@program
def lora(torch, nn, F):
    """A frozen layer and a low-rank correction: only the correction learns."""
    class LoRALinear(nn.Module):
        def __init__(self, base, rank=2, alpha=4):
            super().__init__()
            self.base = base
            for p in self.base.parameters():
                p.requires_grad = False
            self.lora_A = nn.Parameter(torch.randn(rank, base.in_features) * 0.1)
            self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))
            self.scaling = alpha / rank

        def forward(self, x):
            return self.base(x) + (x @ self.lora_A.T @ self.lora_B.T) * self.scaling

    model = nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 4))
    for name, module in list(model.named_children()):
        if isinstance(module, nn.Linear):
            setattr(model, name, LoRALinear(module))
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(filter(lambda p: p.requires_grad, model.parameters()), lr=1e-2)
    x, y = torch.tensor(numbers(23, 16, 6)), torch.tensor(numbers(24, 16, 4))

    def train():
        before = model.state_dict()["0.base.weight"].clone()
        losses = [sum(p.numel() for p in trainable)]
        for step in range(9):
            loss = F.smooth_l1_loss(model(x), y) / 3
            loss.backward()
            if (step + 1) % 3 == 0:
                optimizer.step()
                optimizer.zero_grad()
            losses.append(loss.item())
        F.mse_loss(model(x), y).backward()
        assert torch.equal(before, model.state_dict()["0.base.weight"])
        assert all(p.grad is None for p in model.parameters() if not p.requires_grad)
        with torch.no_grad():
            merged = model[0].base.weight + model[0].scaling * model[0].lora_B @ model[0].lora_A
        return losses, merged

    return model, train


@program
def self_attention_from_articles(torch, nn, F):
    """The heads of an article: one class a head, a loop, `cat`, and the mask as an attribute; then einsum."""
    class Head(nn.Module):
        def __init__(self, n_embd, head_size, block_size):
            super().__init__()
            self.key = nn.Linear(n_embd, head_size, bias=False)
            self.query = nn.Linear(n_embd, head_size, bias=False)
            self.value = nn.Linear(n_embd, head_size, bias=False)
            self.register_buffer("tril", torch.tril(torch.ones(block_size, block_size)), persistent=False)

        def forward(self, x):
            B, T, C = x.shape
            k, q = self.key(x), self.query(x)
            wei = q @ k.transpose(-2, -1) * k.shape[-1] ** -0.5
            wei = wei.masked_fill(self.tril[:T, :T] == 0, float("-inf"))
            wei = F.softmax(wei, dim=-1)
            return wei @ self.value(x)

    class SelfAttention(nn.Module):
        def __init__(self, embed_size, heads):
            super().__init__()
            self.heads, self.head_dim, self.embed_size = heads, embed_size // heads, embed_size
            self.queries = nn.Linear(self.head_dim, self.head_dim, bias=False)
            self.fc_out = nn.Linear(embed_size, embed_size)

        def forward(self, values, keys, query, mask):
            N, length = query.shape[0], query.shape[1]
            queries = self.queries(query.reshape(N, length, self.heads, self.head_dim))
            keys = keys.reshape(N, -1, self.heads, self.head_dim)
            energy = torch.einsum("nqhd,nkhd->nhqk", [queries, keys])
            if mask is not None:
                energy = energy.masked_fill(mask == 0, float("-1e20"))
            attention = torch.softmax(energy / (self.embed_size ** (1 / 2)), dim=3)
            out = torch.einsum("nhql,nlhd->nqhd", [attention, values.reshape(N, -1, self.heads, self.head_dim)])
            return self.fc_out(out.reshape(N, length, self.heads * self.head_dim))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.heads = nn.ModuleList([Head(12, 4, 8) for _ in range(3)])
            self.proj = nn.Linear(12, 12)
            self.attention = SelfAttention(12, 2)

        def forward(self, x, mask):
            x = x + self.proj(torch.cat([h(x) for h in self.heads], dim=-1))
            return self.attention(x, x, x, mask)

    model = Model()
    x = torch.tensor(numbers(25, 2, 7, 12), requires_grad=True)
    mask = torch.tril(torch.ones((7, 7))).expand(2, 1, 7, 7)

    def train():
        y = model(x, mask)
        loss = y.logsumexp(-1).mean() + y.norm()
        loss.backward()
        return [loss.item()], y, x.grad

    return model, train


# ---------------------------------------------------------------------------------------------------------------------
# further afield

@program
def polynomial(torch, nn, F):
    """The sine by a polynomial of third order: by autograd on 0-d tensors, then with modules and `weight[:, 0]`."""
    dtype, device = torch.float, torch.device("cpu")
    x = torch.linspace(-math.pi, math.pi, 200, device=device, dtype=dtype)
    y = torch.sin(x)
    a, b, c, d = (torch.full((), v, device=device, dtype=dtype, requires_grad=True) for v in (0.3, -0.2, 0.1, 0.05))
    p = torch.tensor([1, 2, 3])
    xx = x.unsqueeze(-1).pow(p)
    model = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0, 1))
    loss_fn = nn.MSELoss(reduction="sum")

    def train():
        losses = []
        for _ in range(20):
            y_pred = a + b * x + c * x ** 2 + d * x ** 3
            loss = (y_pred - y).pow(2).sum()
            loss.backward()
            with torch.no_grad():
                for t in (a, b, c, d):
                    t -= 1e-6 * t.grad
                    t.grad = None
            loss2 = loss_fn(model(xx), y)
            model.zero_grad()
            loss2.backward()
            with torch.no_grad():
                for param in model.parameters():
                    param -= 1e-6 * param.grad
            losses.append(loss.item() + loss2.item())
        linear_layer = model[0]
        return losses, [linear_layer.bias.item(), linear_layer.weight[:, 0].item(), a.item(), d.item()]

    return model, train


@program
def variational_autoencoder(torch, nn, F):
    """Reparameterisation and the KL term; `chunk`, `mu.pow(2)`, a sum that is divided by the batch."""
    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(10, 8), nn.Linear(8, 6)
            self.fc3, self.fc4 = nn.Linear(3, 8), nn.Linear(8, 10)

        def reparameterize(self, mu, logvar, eps):
            std = torch.exp(0.5 * logvar)
            return mu + eps * std

        def forward(self, x, eps):
            mu, logvar = self.fc2(F.relu(self.fc1(x.view(-1, 10)))).chunk(2, dim=-1)
            z = self.reparameterize(mu, logvar, eps)
            return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar

    model = VAE()
    x, eps = torch.sigmoid(torch.tensor(numbers(1, 16, 2, 5))), torch.tensor(numbers(2, 16, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def train():
        assert torch.randn_like(eps).shape == eps.shape
        losses = []
        for _ in range(15):
            recon, mu, logvar = model(x, eps)
            bce = F.binary_cross_entropy(recon, x.view(-1, 10), reduction="sum")
            kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
            loss = (bce + kld) / len(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses, recon

    return model, train


@program
def gan(torch, nn, F):
    """Two models, two optimisers, `detach` between them."""
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.G = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 2), nn.Tanh())
            self.D = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))

    model = Both()
    optimizer_G = torch.optim.Adam(model.G.parameters(), lr=0.01, betas=(0.5, 0.999))
    optimizer_D = torch.optim.Adam(model.D.parameters(), lr=0.01, betas=(0.5, 0.999))
    criterion = nn.BCEWithLogitsLoss()
    real_data = torch.tensor(numbers(1, 12, 2)) * 0.1 + 0.5

    def train():
        losses = []
        for step in range(8):
            noise = torch.tensor(numbers(step, 12, 4))
            ones, zeros = torch.ones(12, 1), torch.zeros(12, 1)
            fake = model.G(noise)
            optimizer_D.zero_grad()
            d_loss = criterion(model.D(real_data), ones * 0.9) + criterion(model.D(fake.detach()), zeros)
            d_loss.backward()
            optimizer_D.step()
            optimizer_G.zero_grad()
            g_loss = criterion(model.D(fake), ones)
            g_loss.backward()
            optimizer_G.step()
            losses += [d_loss.item(), g_loss.item()]
        return losses, fake

    return model, train


@program
def llama(torch, nn, F):
    """RMSNorm, rotary positions by halves, SwiGLU, fewer key heads, a cache that agrees with the full pass."""
    class RMSNorm(nn.Module):
        def __init__(self, dim, eps=1e-6):
            super().__init__()
            self.eps = eps
            self.weight = nn.Parameter(torch.ones(dim))

        def _norm(self, x):
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

        def forward(self, x):
            return self._norm(x.float()).type_as(x) * self.weight

    def rotate_half(x):
        x1, x2 = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2:]
        return torch.cat((-x2, x1), dim=-1)

    def repeat_kv(x, n_rep):
        bs, n_kv, slen, hd = x.shape
        return x[:, :, None, :, :].expand(bs, n_kv, n_rep, slen, hd).reshape(bs, n_kv * n_rep, slen, hd)

    class Attention(nn.Module):
        def __init__(self, dim=16, heads=4, kv=2):
            super().__init__()
            self.heads, self.kv, self.hd = heads, kv, dim // heads
            self.wq, self.wk = nn.Linear(dim, dim, bias=False), nn.Linear(dim, kv * self.hd, bias=False)
            self.wv, self.wo = nn.Linear(dim, kv * self.hd, bias=False), nn.Linear(dim, dim, bias=False)
            inv_freq = 1.0 / (10000 ** (torch.arange(0, self.hd, 2).float() / self.hd))
            freqs = torch.outer(torch.arange(12).float(), inv_freq)
            emb = torch.cat((freqs, freqs), dim=-1)
            self.register_buffer("cos", emb.cos(), persistent=False)
            self.register_buffer("sin", emb.sin(), persistent=False)
            self.cache = None

        def forward(self, x, start=0, use_cache=False):
            b, t, _ = x.shape
            q = self.wq(x).view(b, t, self.heads, self.hd).transpose(1, 2)
            k = self.wk(x).view(b, t, self.kv, self.hd).transpose(1, 2)
            v = self.wv(x).view(b, t, self.kv, self.hd).transpose(1, 2)
            cos, sin = self.cos[start:start + t], self.sin[start:start + t]
            q, k = q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin
            if use_cache:
                if self.cache is not None:
                    k, v = torch.cat([self.cache[0], k], dim=2), torch.cat([self.cache[1], v], dim=2)
                self.cache = (k, v)
            k, v = repeat_kv(k, self.heads // self.kv), repeat_kv(v, self.heads // self.kv)
            scores = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(self.hd)
            if t > 1:
                mask = torch.full((t, t), float("-inf"), device=x.device)
                mask = torch.triu(mask, diagonal=1)
                scores = scores + mask
            scores = F.softmax(scores.float(), dim=-1).type_as(q)
            out = torch.matmul(scores, v).transpose(1, 2).contiguous().view(b, t, -1)
            return self.wo(out)

    class Block(nn.Module):
        def __init__(self, dim=16, hidden=24):
            super().__init__()
            self.attention, self.norm1, self.norm2 = Attention(dim), RMSNorm(dim), RMSNorm(dim)
            self.w1, self.w2 = nn.Linear(dim, hidden, bias=False), nn.Linear(hidden, dim, bias=False)
            self.w3 = nn.Linear(dim, hidden, bias=False)

        def forward(self, x, **kw):
            h = x + self.attention(self.norm1(x), **kw)
            y = self.norm2(h)
            return h + self.w2(F.silu(self.w1(y)) * self.w3(y))

    class Llama(nn.Module):
        def __init__(self):
            super().__init__()
            self.tok = nn.Embedding(20, 16)
            self.layers = nn.ModuleList()
            for _ in range(2):
                self.layers.append(Block())
            self.norm, self.output = RMSNorm(16), nn.Linear(16, 20, bias=False)

        def forward(self, tokens, **kw):
            h = self.tok(tokens)
            for layer in self.layers:
                h = layer(h, **kw)
            return self.output(self.norm(h)).float()

    model = Llama()
    tokens = torch.from_numpy(integers(5, 20, 3, 9))

    def train():
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.1)
        losses = []
        for _ in range(6):
            logits = model(tokens[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.inference_mode():
            whole = model(tokens)
            steps = [model(tokens[:, i:i + 1], start=i, use_cache=True) for i in range(tokens.shape[1])]
            assert torch.allclose(torch.cat(steps, dim=1), whole, atol=1e-5)
            logits = whole[:, -1] / 0.8
            probs_sort, probs_idx = torch.sort(torch.softmax(logits, dim=-1), dim=-1, descending=True)
            probs_sum = torch.cumsum(probs_sort, dim=-1)
            probs_sort[probs_sum - probs_sort > 0.7] = 0.0
            probs_sort /= probs_sort.sum(dim=-1, keepdim=True)
            next_token = torch.gather(probs_idx, -1, torch.multinomial(probs_sort, num_samples=1))
            assert next_token.shape == (3, 1)
            return losses, whole

    return model, train


@program
def recurrent_net_with_attention(torch, nn, F):
    """An RNN cell in a Python loop, outputs stacked, additive attention, teacher forcing from a seeded coin."""
    class Net(nn.Module):
        def __init__(self, vocab=12, hidden=10):
            super().__init__()
            self.hidden_size = hidden
            self.embedding = nn.Embedding(vocab, hidden)
            self.i2h, self.h2h = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden, bias=False)
            self.Wa, self.Ua, self.Va = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 1)
            self.out = nn.Linear(2 * hidden, vocab)

        def step(self, x, h):
            return torch.tanh(self.i2h(x) + self.h2h(h))

        def forward(self, src, tgt):
            h = torch.zeros(src.size(0), self.hidden_size)
            states = []
            for x in self.embedding(src).unbind(1):
                h = self.step(x, h)
                states.append(h)
            keys = torch.stack(states, dim=1)
            outputs = []
            for i in range(tgt.size(1)):
                h = self.step(self.embedding(tgt[:, i]), h)
                scores = self.Va(torch.tanh(self.Wa(h.unsqueeze(1)) + self.Ua(keys))).squeeze(2).unsqueeze(1)
                weights = F.softmax(scores, dim=-1)
                context = torch.bmm(weights, keys).squeeze(1)
                outputs.append(F.log_softmax(self.out(torch.cat((context, h), 1)), dim=-1))
            return torch.stack(outputs, 1), weights

    model = Net()
    src, tgt = torch.tensor(integers(1, 12, 4, 6)), torch.tensor(integers(2, 12, 4, 5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    criterion = nn.NLLLoss()

    def train():
        losses = []
        for _ in range(8):
            logp, weights = model(src, tgt[:, :-1])
            loss = criterion(logp.permute(0, 2, 1), tgt[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            total_norm = 0
            for p in model.parameters():
                total_norm += p.grad.detach().norm(2).item() ** 2
            nn.utils.clip_grad_value_(model.parameters(), 0.3)
            optimizer.step()
            losses += [loss.item(), total_norm ** 0.5]
        return losses, weights

    return model, train


@program
def contrastive(torch, nn, F):
    """Pairs that belong together: normalised embeddings, a learnt temperature, labels on the diagonal; and skip-gram."""
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.image, self.text = nn.Linear(6, 5, bias=False), nn.Linear(7, 5, bias=False)
            self.logit_scale = nn.Parameter(torch.ones([]) * np.log(1 / 0.07))
            self.center, self.context = nn.Embedding(9, 4), nn.Embedding(9, 4)
            nn.init.uniform_(self.center.weight, -0.1, 0.1)

        def forward(self, images, texts):
            a, b = F.normalize(self.image(images), dim=-1), self.text(texts)
            b = b / b.norm(dim=-1, keepdim=True)
            logits = self.logit_scale.exp() * a @ b.t()
            labels = torch.arange(len(logits), device=logits.device)
            return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2

        def skip_gram(self, center, positive, negative):
            v = self.center(center)
            positive = (v * self.context(positive)).sum(1)
            negative = torch.bmm(self.context(negative), v.unsqueeze(2)).squeeze(2)
            return -(F.logsigmoid(positive) + F.logsigmoid(-negative).sum(1)).mean()

    model = Net()
    images, texts = torch.tensor(numbers(1, 8, 6)), torch.tensor(numbers(2, 8, 7))
    center, positive, negative = (torch.tensor(integers(i, 9, *s)) for i, s in enumerate([(8,), (8,), (8, 3)]))
    optimizer = torch.optim.Adam([{"params": [model.logit_scale], "lr": 1e-3}, {"params": model.image.parameters()},
                                  {"params": [*model.text.parameters(), *model.center.parameters()]},
                                  {"params": model.context.parameters(), "weight_decay": 0.01}], lr=0.02)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)

    def train():
        losses = []
        for _ in range(10):
            loss = model(images, texts) + model.skip_gram(center, positive, negative)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            losses += [loss.item(), scheduler.get_last_lr()[-1]]
        with torch.no_grad():
            distances = 1 - F.cosine_similarity(images[:, None, :], images[None, :, :], dim=-1)
        return losses, distances

    return model, train


@program
def mixture_of_experts(torch, nn, F):
    """A router picks two experts for each token; results are collected by index_add and weighed."""
    class MoE(nn.Module):
        def __init__(self, d=6, experts=4, k=2):
            super().__init__()
            self.k = k
            self.gate = nn.Linear(d, experts, bias=False)
            self.experts = nn.ModuleList([nn.Sequential(nn.Linear(d, 8), nn.GELU(approximate="tanh"), nn.Linear(8, d))
                                          for _ in range(experts)])

        def forward(self, x):
            b, t, d = x.shape
            flat = x.reshape(-1, d)
            weights, chosen = torch.topk(self.gate(flat).softmax(dim=-1), self.k, dim=-1)
            weights = weights / weights.sum(dim=-1, keepdim=True)
            y = torch.zeros_like(flat)
            for i, expert in enumerate(self.experts):
                rows, nth = torch.where(chosen == i)
                y = y.index_add(0, rows, weights[rows, nth, None] * expert(flat[rows]))
            load = F.one_hot(chosen, len(self.experts)).sum(dim=1).float().mean(dim=0)
            return y.view(b, t, d), load

    model = MoE()
    x, target = torch.tensor(numbers(1, 2, 7, 6)), torch.tensor(numbers(2, 2, 7, 6))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    def train():
        losses = []
        for _ in range(8):
            y, load = model(x)
            loss = F.huber_loss(y, target) + 0.01 * load.var()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses, load

    return model, train


# ---------------------------------------------------------------------------------------------------------------------
# networks for pictures

@program
def convolutional_net(torch, nn, F):
    """The first network for pictures in most courses: convolve, pool, flatten, two linear layers."""
    class Net(nn.Module):
        def __init__(self):
            super(Net, self).__init__()
            self.conv1 = nn.Conv2d(3, 6, 5)
            self.pool = nn.MaxPool2d(2, 2)
            self.conv2 = nn.Conv2d(6, 16, 3)
            self.fc1 = nn.Linear(16 * 3 * 3, 12)
            self.fc2 = nn.Linear(12, 10)

        def forward(self, x):
            x = self.pool(F.relu(self.conv1(x)))
            x = self.pool(F.relu(self.conv2(x)))
            x = torch.flatten(x, 1)
            x = F.relu(self.fc1(x))
            return self.fc2(x)

    model = Net()
    images, labels = torch.tensor(numbers(1, 8, 3, 20, 20)), torch.tensor(integers(2, 10, 8))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def train():
        losses = []
        for _ in range(5):
            optimizer.zero_grad()
            outputs = model(images)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses, outputs

    return model, train


@program
def resnet(torch, nn, F):
    """Residual blocks as the articles write them: ReLU(inplace=True), a 1×1 shortcut, out += identity."""
    def conv3x3(in_planes, out_planes, stride=1):
        return nn.Conv2d(in_planes, out_planes, kernel_size=3, stride=stride, padding=1, bias=False)

    class BasicBlock(nn.Module):
        expansion = 1

        def __init__(self, inplanes, planes, stride=1, downsample=None):
            super(BasicBlock, self).__init__()
            self.conv1 = conv3x3(inplanes, planes, stride)
            self.bn1 = nn.BatchNorm2d(planes)
            self.relu = nn.ReLU(inplace=True)
            self.conv2 = conv3x3(planes, planes)
            self.bn2 = nn.BatchNorm2d(planes)
            self.downsample = downsample
            self.stride = stride

        def forward(self, x):
            identity = x
            out = self.conv1(x)
            out = self.bn1(out)
            out = self.relu(out)
            out = self.conv2(out)
            out = self.bn2(out)
            if self.downsample is not None:
                identity = self.downsample(x)
            out += identity
            out = self.relu(out)
            return out

    class ResNet(nn.Module):
        def __init__(self, block, layers, num_classes=5):
            super(ResNet, self).__init__()
            self.inplanes = 6
            self.conv1 = nn.Conv2d(3, 6, kernel_size=7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(6)
            self.relu = nn.ReLU(inplace=True)
            self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
            self.layer1 = self._make_layer(block, 6, layers[0])
            self.layer2 = self._make_layer(block, 8, layers[1], stride=2)
            self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
            self.fc = nn.Linear(8 * block.expansion, num_classes)
            for m in self.modules():
                if isinstance(m, nn.Conv2d):
                    nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                elif isinstance(m, (nn.BatchNorm2d, nn.BatchNorm1d)):
                    nn.init.constant_(m.weight, 1)
                    nn.init.constant_(m.bias, 0)

        def _make_layer(self, block, planes, blocks, stride=1):
            downsample = None
            if stride != 1 or self.inplanes != planes * block.expansion:
                downsample = nn.Sequential(
                    nn.Conv2d(self.inplanes, planes * block.expansion, kernel_size=1, stride=stride, bias=False),
                    nn.BatchNorm2d(planes * block.expansion),
                )
            layers = [block(self.inplanes, planes, stride, downsample)]
            self.inplanes = planes * block.expansion
            for _ in range(1, blocks):
                layers.append(block(self.inplanes, planes))
            return nn.Sequential(*layers)

        def forward(self, x):
            x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
            x = self.layer2(self.layer1(x))
            x = self.avgpool(x)
            x = x.view(x.size(0), -1)
            return self.fc(x)

    model = ResNet(BasicBlock, [2, 1])
    images, labels = torch.tensor(numbers(1, 8, 3, 24, 26)), torch.tensor(integers(2, 5, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)

    def train():
        model.train()
        losses = []
        for _ in range(4):
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            outputs = model(images)
        return losses, outputs

    return model, train


# ---------------------------------------------------------------------------------------------------------------------
# the programs, run

def numbers_of(result):
    """What train() returned, as arrays."""
    parts = result if isinstance(result, tuple) else (result,)
    return [part.detach().numpy() if hasattr(part, "detach") else np.asarray(part, np.float64) for part in parts]


def arrays(model):
    """Every value and every gradient of a model, by name."""
    values = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    return values | {f"{name}.grad": p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}


def without_key_biases(key, values):
    """A key's bias adds one number to all scores of a query: its gradient is 0, and Adam would follow the rounding noise."""
    if "in_proj_bias" in key or "c_attn.bias" in key:
        return np.delete(values.reshape(3, -1), 1, axis=0)
    return values[:0] if "linears.1.bias" in key else values


@pytest.mark.parametrize("name", PROGRAMS)
def test_runs(name):
    minitorch.manual_seed(1337)
    model, train = PROGRAMS[name](*MINITORCH)
    results = numbers_of(train())
    assert all(np.isfinite(r).all() for r in results)
    losses = results[0]
    assert name in ("one_neuron", "autoencoder", "annotated_transformer") or losses.size == 1 or losses[-1] < losses[0]
    if model is not None:
        assert str(model) and sum(p.numel() for p in model.parameters()) > 0


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("name", PROGRAMS)
def test_agrees_with_pytorch(name):
    torch = pytest.importorskip("torch")
    torch.manual_seed(1337)
    theirs, their_train = PROGRAMS[name](torch, torch.nn, torch.nn.functional)
    ours, our_train = PROGRAMS[name](*MINITORCH)
    if ours is not None:
        ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    for expected, got in zip(numbers_of(their_train()), numbers_of(our_train()), strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-5)
    if ours is not None:
        assert str(ours) == str(theirs).replace("NonDynamicallyQuantizable", "")
        expected, got = arrays(theirs), arrays(ours)
        assert list(expected) == list(got)
        for key in expected:
            got_values, expected_values = without_key_biases(key, got[key]), without_key_biases(key, expected[key])
            np.testing.assert_allclose(got_values, expected_values, rtol=5e-3, atol=5e-5, err_msg=key)
