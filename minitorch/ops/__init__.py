"""Ops: one file per family. A class describes an op forward and backward; the function under it is what people call."""

from .activation import *
from .arithmetic import *
from .attention import *
from .batchnorm import *
from .compare import *
from .conv import *
from .cross_entropy import *
from .dropout import *
from .dtype import *
from .elementwise import *
from .embedding import *
from .ffn import *
from .glu import *
from .index import *
from .layernorm import *
from .losses import *
from .matmul import *
from .pad import *
from .pool import *
from .projection import *
from .reduce import *
from .residual import *
from .rotary import *
from .shape import *
from .softmax import *
from .trigonometry import *
