"""A pytest fixture for users of minitorch: ``def test_my_op(gradcheck): gradcheck(my_op, (x,))``.

pytest loads this file whenever minitorch is installed, so it imports nothing but pytest until a test asks.
"""

import pytest

__all__ = ["gradcheck"]


@pytest.fixture
def gradcheck():
    """Check a backward pass: ``minitorch.autograd.gradcheck``; a wrong gradient fails the test with a diagnosis."""
    from minitorch.gradcheck import gradcheck

    return gradcheck
