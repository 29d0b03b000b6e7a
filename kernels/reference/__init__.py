from .attention import *
from .dropout import *
from .ffn import *
from .layernorm import *
from .matmul import *
from .optim import *
from .projection import *
