from .cross_entropy import *
from .dropout import *
from .elementwise import *
from .embedding import *
from .layernorm import *
from .residual import *
from .softmax import *
