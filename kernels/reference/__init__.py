from .index import *
from .layernorm import *
from .reduce import *
from .shape import *
