from .layernorm import *
