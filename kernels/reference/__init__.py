"""Plain NumPy: what every kernel means. Each forward also accepts complex input, for complex-step checks."""

from .attention import *
from .binary_cross_entropy import *
from .einsum import *
from .elementwise import *
from .ffn import *
from .layernorm import *
from .matmul import *
from .optim import *
from .pad import *
from .projection import *
