"""minitorch: a deep-learning engine small enough to read, checked enough to trust.

>>> x = minitorch.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> loss = (x * x).sum()
>>> loss.backward()
>>> x.grad
tensor([2., 4., 6.])

The names, arguments and meanings are PyTorch's: ``import minitorch as torch`` runs ordinary teaching code.
"""

from math import e, inf, nan, pi

import minitorch.kernels as kernels

from . import autograd, cuda, linalg, nn, optim, random, utils
from ._printing import set_printoptions
from .autograd import Function, enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .creation import *
from .errors import CheckpointError, DTypeError, RangeError, ShapeError
from .kernels import get_num_threads, set_num_threads
from .ops import *
from .random import Generator, default_generator, initial_seed, manual_seed, seed
from .tensor import Size, Tensor, device, get_default_device, is_tensor, numel, set_default_device

newaxis = None

__version__ = "0.1.0"

_INSTEAD = {
    "save": ". There is no pickle here. Write np.savez(path, **{name: t.numpy() for name, t in model.state_dict().items()})",
    "load": ". There is no pickle here. After np.savez, write model.load_state_dict(dict(np.load(path)))",
    "compile": ". Kernels are compiled already: leave it out.",
}


def __getattr__(name):
    raise AttributeError(f"module 'minitorch' has no attribute {name!r}" + _INSTEAD.get(name, ""))
