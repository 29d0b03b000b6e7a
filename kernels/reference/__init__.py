from .attention import *
from .layernorm import *
from .matmul import *
