"""Every example runs alone, as a reader would run it, and prints the numbers that can be worked out by hand."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

# What each example must print: a line, with single spaces; or a pattern and what must hold of the numbers it finds.
PRINTED = {
    "01_chain_rule_by_hand": [
        "loss = (2 · 3 + 1 − 5)² = 4",
        "d(loss)/d(w) by hand 12.0 by machine 12.0",
        "d(loss)/d(x) by hand 8.0 by machine 8.0",
        "d(loss)/d(b) by hand 4.0 by machine 4.0",
        "w grows by 0.001: the loss grows by 0.012009, about 12 · 0.001",
    ],
    "02_your_own_op": [
        "gradcheck: WrongSwoosh: the gradient of 'x' is wrong (WrongSwoosh.backward)",
        "The right one: True",
        "2 · swoosh(1) = 1.5232 its slope 2.3631",
    ],
    "03_broadcasting": [
        "dx = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]] dy itself",
        "drow = [5.0, 7.0, 9.0] dy added over the 2 rows: 1+4, 2+5, 3+6",
        "dcolumn = [[6.0], [15.0]] dy added over the 3 columns: 1+2+3, 4+5+6",
        "product: drow = [17.0, 29.0, 45.0] dy · x over the rows: 1·1+4·4, 2·2+5·5, 3·3+6·6",
        "the engine: ForgetfulAdd.backward: the gradient of input 1 has shape (2, 3), the input has (3,). "
        "A gradient has its input's shape; sum over broadcast axes.",
        "wrong: (3, 3) errors, mean square 1.333",
        "right: (3,) errors, mean square 0.000",
    ],
    "04_softmax_and_cross_entropy": [
        "probabilities p 0.6652 0.2447 0.0900",
        "loss = −ln 0.6652 = 0.4076",
        "gradient of z -0.3348 0.2447 0.0900",
        "p − y -0.3348 0.2447 0.0900",
        "softmax, then log loss inf gradient [nan, nan, nan]",
        "F.cross_entropy loss 200.0 gradient [-1.0, 1.0, 0.0]",
        "no idea among 10: loss 2.3026 ln 10 = 2.3026",
    ],
    "05_layer_norm": [
        "mean 116.67 std 62.36",
        "LayerNorm by hand -0.267 1.336 -1.069",
        "nn.LayerNorm(3) -0.267 1.336 -1.069",
        "x distance 3rd to 1st 50.000 1st to 2nd 100.000 ratio 0.50",
        "the texts' result distance 3rd to 1st 0.000 1st to 2nd 2.100 ratio 0.00",
        "LN of [100, 200, 100] -0.707 1.414 -0.707",
        "LN of [120, 210, 55] -0.131 1.285 -1.154",
        "dx by hand, times 1000 10.309 -3.436 -6.872",
        "dx by backward() 10.309 -3.436 -6.872",
    ],
    "06_residual_connection": [
        "x + f(x) 0.30 0.30 -0.20",
        "around the layer: dy 1.00 2.00 3.00",
        "through the layer: 0.5 · dy 0.50 1.00 1.50",
        "both: 1.5 · dy 1.50 3.00 4.50",
        "plain gradient after 20 layers 1e-20 by hand 0.1^20 = 1e-20",
        "residual gradient after 20 layers 6.7 by hand 1.1^20 = 6.7",
        "x = x + x gradient after 20 layers 1e-14 by hand 0.2^20 = 1e-14",
    ],
}


def run(path, folder, *options):
    return subprocess.run([sys.executable, "-W", "error", str(path), "--quick", *options], cwd=folder, capture_output=True,
                          text=True, timeout=300)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_prints_the_right_numbers(path, tmp_path):
    draws = "--save" in path.read_text(encoding="utf-8")
    result = run(path, tmp_path, *(["--save", "picture.png"] if draws else []))
    assert result.returncode == 0, result.stderr
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for expected in PRINTED[path.stem]:
        if isinstance(expected, str):
            assert expected in lines, f"not printed: {expected}\n\n{result.stdout}"
        else:
            pattern, holds = expected
            found = [match for line in lines for match in re.findall(pattern, line)]
            assert found, f"nothing printed looks like {pattern}\n\n{result.stdout}"
            numbers = [tuple(map(float, each)) if isinstance(each, tuple) else float(each) for each in found]
            assert holds(*numbers), f"{pattern} found {numbers}"
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"] * draws
    if draws:
        picture = matplotlib.image.imread(tmp_path / "picture.png")
        drawn = (picture[..., :3] != 1).any(-1)
        assert 0.01 < np.mean(drawn) < 0.9 and len(np.unique(picture[..., :3].reshape(-1, 3), axis=0)) > 50


def test_every_example_is_numbered_and_has_its_numbers():
    assert [int(path.name[:2]) for path in EXAMPLES] == list(range(1, len(EXAMPLES) + 1))
    assert list(PRINTED) == [path.stem for path in EXAMPLES]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_is_a_page_of_the_gallery(path):
    text = path.read_text(encoding="utf-8")
    title, line, empty, *_ = ast.get_docstring(ast.parse(text)).split("\n")
    assert line == "=" * len(title) and not empty
    assert f"Run it: ``python examples/{path.name}``" in text
    *_, last = text.split("\n# %%\n")
    assert last.startswith("# **Try this:** ") and "# **Read on:** " in last
    pages = re.findall(r":doc:`(?:[^`<]*<)?([^`>]+)>?`", last)
    assert pages, "name a page to read on"
    for page in pages:
        assert (ROOT / "docs" / f"{page.lstrip('/')}.md").exists(), page
