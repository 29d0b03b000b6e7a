"""Look inside: what ran, what each gradient is made of, how gradients flow, and where something went wrong.

>>> from minitorch import explain
"""

from minitorch.explain.flow import Flow, Layer, gradient_flow, plot_gradient_flow

__all__: list[str] = ["Flow", "Layer", "gradient_flow", "plot_gradient_flow"]
