from .layernorm import *
from .matmul import *
