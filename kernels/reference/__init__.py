"""Plain NumPy: what every kernel means. Each forward also accepts complex input, for complex-step checks."""

from .activation import *
from .arithmetic import *
from .attention import *
from .batchnorm import *
from .binary_cross_entropy import *
from .compare import *
from .conv import *
from .cross_entropy import *
from .dropout import *
from .einsum import *
from .elementwise import *
from .embedding import *
from .ffn import *
from .index import *
from .layernorm import *
from .matmul import *
from .optim import *
from .pad import *
from .pool import *
from .projection import *
from .reduce import *
from .residual import *
from .rotary import *
from .shape import *
from .softmax import *
from .trigonometry import *
