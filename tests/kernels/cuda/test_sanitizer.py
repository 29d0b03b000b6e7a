"""Kernels under compute-sanitizer, where there is a GPU and the tool; and without, that it is asked for the right things."""

import os
import stat

import pytest

import sanitize_cuda

here = os.path.exists("/dev/nvidiactl") and sanitize_cuda.sanitizer() is not None


@pytest.mark.skipif(not here, reason="needs a GPU and compute-sanitizer")
@pytest.mark.parametrize("tool", sanitize_cuda.TOOLS)
def test_the_sanitizer_finds_nothing(tool):
    fine, text = sanitize_cuda.run(tool)
    assert fine and "kernels called" in text, text[-5000:]


def test_the_sanitizer_gets_a_program_that_calls_kernels(tmp_path, monkeypatch):
    """A tool that stands where compute-sanitizer would: it notes its arguments and runs the program in the simulator."""
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nwhile [ "$1" != -- ]; do shift; done; shift\n'
                    'NUMBA_ENABLE_CUDASIM=1 "$@" && exit $EXIT\n')
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("EXIT", "0")
    fine, text = sanitize_cuda.run("racecheck", "softmax_backward")
    assert fine and "called: softmax_backward, log_softmax_backward" in text, text
    assert (tmp_path / "asked").read_text().startswith("--tool racecheck --error-exitcode 9")
    monkeypatch.setenv("EXIT", "9")
    assert sanitize_cuda.run("memcheck", "dropout_forward")[0] is False
