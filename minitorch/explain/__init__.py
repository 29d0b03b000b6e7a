"""Look inside: what ran, what each gradient is made of, how gradients flow, and where something went wrong.

>>> from minitorch import explain
"""

from minitorch.explain.flow import Flow, Layer, gradient_flow, plot_gradient_flow
from minitorch.explain.stacks import VARIANTS, DeepStack, compare_stacks, expected_gains, train_stacks

__all__: list[str] = [
    "Flow", "Layer", "gradient_flow", "plot_gradient_flow",
    "VARIANTS", "DeepStack", "compare_stacks", "expected_gains", "train_stacks",
]
