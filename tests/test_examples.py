"""Every example runs alone, as a reader would run it, and prints the numbers that can be worked out by hand."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

# What each example must print: whole lines, with single spaces; or a pattern and what must hold of the numbers it finds.
PRINTED = {
    "01_chain_rule_by_hand": [
        "loss = (2 · 3 + 1 − 5)² = 4",
        "d(loss)/d(w) by hand 12.0 by machine 12.0",
        "d(loss)/d(x) by hand 8.0 by machine 8.0",
        "d(loss)/d(b) by hand 4.0 by machine 4.0",
        "w grows by 0.001: the loss grows by 0.012009",
    ],
    "02_your_own_op": [
        "gradcheck: WrongSwoosh: the gradient of 'x' is wrong (WrongSwoosh.backward)",
        "The right one: True",
        "2 · swoosh(1) = 1.5232 its slope 2.3631",
    ],
    "03_broadcasting": [
        "dx = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]",
        "drow = [5.0, 7.0, 9.0]",
        "dcolumn = [[6.0], [15.0]]",
        "of the product: drow = [17.0, 29.0, 45.0]",
        "the engine: ForgetfulAdd.backward: the gradient of input 1 has shape (2, 3),\n"
        "the input has (3,). A gradient has its input's shape; sum over broadcast axes.",
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
        "x 3rd to 1st 50.00 1st to 2nd 100.00 ratio 0.50",
        "LayerNorm 3rd to 1st 0.80 1st to 2nd 1.60 ratio 0.50",
        "the texts' result 3rd to 1st 0.00 1st to 2nd 2.10 ratio 0.00",
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
        "plain after 20 layers 1e-20 by hand 0.1^20 = 1e-20",
        "residual after 20 layers 6.7 by hand 1.1^20 = 6.7",
        "x = x + x after 20 layers 1e-14 by hand 0.2^20 = 1e-14",
    ],
    "07_deep_stacks": [
        "plain 50688 parameters = 48 · (32 · 32 + 32)",
        "residual 50688 parameters = 48 · (32 · 32 + 32)",
        (r"^plain gradient .* ratio 10\^(\S+)$", lambda ratio: -12 < ratio < -10),            # 47 · log10(1/√3) = −11.2
        (r"^residual gradient .* ratio 10\^(\S+)$", lambda ratio: -0.5 < ratio < 0.5),
        (r"^one plain layer's factor: (\S+) theory 1/√3 = 0.577$", lambda measured: abs(measured - 0.577) < 0.02),
        (r"^plain loss after 50 steps (\S+) best constant answer (\S+)", lambda each: each[0] > each[1] - 0.01),
        (r"^residual loss after 50 steps (\S+) best constant answer (\S+)", lambda each: each[0] < 0.5 * each[1]),
    ],
    "08_pre_norm_and_post_norm": [
        "pre-norm of the gradient, 1.00000 arrives on the direct path",
        (r"^post-norm of the gradient, (\S+) arrives", lambda share: abs(share / 2 ** -12 - 1) < 0.1),
        "by hand: (1/√2)^24 = 0.00024",
        (r"^pre-norm loss at first \S+ after 60 steps (\S+)", lambda loss: loss < 1.5),
        (r"^post-norm loss at first \S+ after 60 steps (\S+)", lambda loss: loss > 2.2),
    ],
    "09_attention_and_masks": [
        "weights word 0: 0.401 0.198 0.401",                                # e^0.707 = 2.028, 1, 2.028 out of 5.056
        "output word 0: 20.000",
        "in one op word 0: 20.000",
        "causal: weights word 0: 1.000 0.000 0.000",
        "causal: output word 0: 10.000",
        "padding: output word 0: 13.302",
        "−10⁹: weights word 0: 0.333 0.333 0.333",
        "ours: output word 0: 0.000",
        "gradient of the row that may look nowhere: [0.0, 0.0]",
        (r"^q · k spread (\S+) largest weight (\S+)", lambda each: 7 < each[0] < 9 and each[1] > 0.75),
        (r"^q · k / √64 spread (\S+) largest weight (\S+)", lambda each: 0.9 < each[0] < 1.1 and each[1] < 0.3),
    ],
    "10_multi_head": [
        "right (2, 3, 2) wrong (2, 3, 2)",
        "right, head 0: [[0, 1], [10, 11], [20, 21]] features 0 and 1 of every word",
        "wrong, head 0: [[0, 1], [2, 3], [10, 11]] all of word 0, half of word 1",
        "right:\nword 0 sees [0]\nword 1 sees [0, 1]\nword 2 sees [0, 1, 2]",
        "no transpose in front and behind:\nword 0 sees [0]\nword 1 sees [0, 1]\nword 2 sees [1, 2]",
        "no transpose behind:\nword 0 sees [0, 1]\nword 1 sees [0, 1, 2]\nword 2 sees [0, 1, 2]",
        *(f"heads {h} features of each {8 // h} parameters 288" for h in (1, 2, 4, 8)),
        "one head word 0: 0.978 word 1: 0.011 word 2: 0.011",                           # 18/√4 against 9/√4
        "head 0 of two word 0: 0.500 word 1: 0.500 word 2: 0.001",
        "head 1 of two word 0: 0.500 word 1: 0.001 word 2: 0.500",
    ],
    "11_feed_forward": [
        (r"between two layers and one: (\S+)", lambda difference: difference < 1e-5),
        "numbers in two layers: 512 in the one: 64",
        "0 0 0 -1 0 0 0",
        "0 1 1 0 1 0 1",
        "1 0 1 0 1 0 1",
        "1 1 2 1 2 1 0",
        "one linear layer, trained: [0.5, 0.5, 0.5, 0.5]",
        "gradient of W₁ from input [1, 0]: [[1.0, 0.0], [0.0, 0.0]]",
        "parameters: 552 = 288 + 264",
        "shuffled words, shuffled outputs: True",
    ],
    "12_softmax_projection": [
        "you 0.693 2.0 0.10",
        "cats 2.773 16.0 0.80",
        "dogs 0.000 1.0 0.05",
        "(rest) 0.000 1.0 0.05",
        "the sum 20.0 1.00",
        "greedy choice: cats",
        "p − y [0.1, -0.2, 0.05, 0.05]",
        "db [0.1, -0.2, 0.05, 0.05]",
        "dW [[0.069, 0.1], [-0.139, -0.2], [0.035, 0.05], [0.035, 0.05]]",
        "dx [-0.7, 0.0]",
        (r"^(?:projection|embedding|both) \[ ?(\S+)", lambda one, other, both: abs(one + other - both) < 0.0011 and other),
        (r"^embedding .*?\] (.*)$", lambda rest: rest == "[ 0.000 0.000] [ 0.000 0.000] [ 0.000 0.000]"),
        "numbers saved by tying 50,000 words with 512 features: 25,600,000",
        (r"loss (\S+) gradient norm (\S+) memory (\S+) MB",
         lambda whole, chunked: whole[:2] == chunked[:2] and chunked[2] < 100 < 262 <= whole[2]),   # 131 MB, twice
    ],
    "13_batch_norm_or_layer_norm": [
        "BatchNorm, columns have mean 0:\n-1.22 -1.22 1.02\n0.00 1.22 0.34\n1.22 0.00 -1.36",
        "LayerNorm, rows have mean 0:\n-1.22 0.00 1.22\n-1.22 1.22 0.00\n0.00 1.22 -1.22",
        "BatchNorm of word 0, before:\n-1.22 -1.22 1.02\nBatchNorm of word 0, after:\n-0.74 -0.78 1.02",
        "LayerNorm of word 0, before:\n-1.22 0.00 1.22\nLayerNorm of word 0, after:\n-1.22 0.00 1.22",
        "BatchNorm, gradient of word 0's first output:\n0.20 0.00 0.00\n-0.41 0.00 0.00\n0.20 0.00 0.00",
        "LayerNorm, gradient of word 0's first output:\n0.07 -0.14 0.07\n0.00 0.00 0.00\n0.00 0.00 0.00",
        "BatchNorm of word 0, 1 filling words:\n-0.45 -0.17 1.30",
        "LayerNorm of word 0, 5 filling words:\n-1.22 0.00 1.22",
        "BatchNorm of a single word:\n0.00 0.00 0.00",
        "LayerNorm of a single word:\n-1.22 0.00 1.22",
    ],
    "14_a_whole_block": [
        "Square got 0.1768\n0.3006 for y",                                              # √32 / 32
        "Add block got 0.3006\n0.3006 for a\n0.3006 for feed_forward",
        "Add block got 0.3073\n0.3073 for x\n0.3073 for attended",
        "Attention block.attn got 0.1948\n0.0834 for q\n0.0859 for k\n0.1952 for v",
        (r"^Linear block.attn got (\S+)$", lambda got: got == round(np.hypot(np.hypot(0.0834, 0.0859), 0.1952), 4)),
        (r"^(?:from Add|from LayerNorm|their sum|x.grad) (\S+) (\S+)",
         lambda around, through, total, grad: total == grad and np.allclose(np.add(around, through), total, atol=1.01e-4)),
        "13 of 13 recorded gradients equal .grad exactly",
    ],
    "15_a_character_model": [
        "330 letters of text, 26 different ones",
        "28186 parameters",
        (r"^loss at first (\S+) \(guessing: ln 26 = (\S+)\)", lambda each: abs(each[0] - each[1]) < 0.3 and each[1] == 3.26),
        (r"^after 400 steps (\S+): the right letter gets (\S+)%", lambda each: each[0] < 0.4 and each[1] > 65),
        (r"^step \d+ largest / smallest (\S+) next step / parameters (\S+) to (\S+)",
         lambda *rows: len(rows) == 3 and all(ratio < 100 and low < high < 0.1 for ratio, low, high in rows)),
        (r"^it writes: backward (.+)", lambda text: len(text) > 40),
    ],
    "16_mistakes": [
        (r"^1 .* block 1 (\S+) block 12 (\S+) likeness (\S+)",
         lambda right, wrong: right[1] > 0.1 * right[0] and wrong[1] < 1e-12 and right[2] < 0.9 and wrong[2] == 1),
        "2 gradcheck says True",
        "2 with x.var(-1) -0.2182 1.0911 -0.8729",
        "2 F.layer_norm -0.2673 1.3363 -1.0690",
        "3 divided by the variance -0.0043 0.0214 -0.0171 variance 0.0003",                 # 1 / 3888.9
        "3 divided by its root -0.2673 1.3363 -1.0690 variance 1.0000",
        "4 softmax(match / √d) 0.6225 0.3775",
        "4 softmax(exp(match) / √d) 0.9118 0.0882",
        "4 keys @ W: (5, 4), one query for each word",
        "5 loss of always answering 0, on new data: 0.95",
        (r"^5 .* training data (\S+) on new data (\S+)",
         lambda plain, helped: plain[0] < 0.1 and helped[0] < 0.001 and plain[1] > 1.5 and helped[1] > 1.5),
        "6 nn.FFN(64) 33,088 parameters",                                                   # 64 · 256 · 2 + 256 + 64
        "6 the same with a residual connection 33,088 parameters",
        "7 masked_fill(mask == 0, -1e9): 15.0 the mean of what was forbidden",
        "7 attn_mask=mask.bool(): 0.0",
        "8 one linear layer largest difference 0.0000",
        "8 two, nothing between largest difference 0.0000",
        (r"^8 nn.FFN largest difference (\S+)", lambda off: off > 0.01),
        "9 batch_first=False other sentences that sentence 0 sees: [1, 2]",
        "9 batch_first=True other sentences that sentence 0 sees: []",
        (r"(\d+)\sof\s(\d+)\ssuch\spairs\sleak", lambda pairs: pairs == (10, 10)),                         # 4 + 3 + 2 + 1
    ],
    "17_resnet_block": [
        "first convolution:\n0.00 1.00 0.00\n1.00 1.00 1.00\n0.00 1.00 0.00",
        "f(x):\n0.00 0.50 0.00\n0.50 0.50 0.50\n0.00 0.50 0.00",
        "relu(x + f(x)):\n0.00 0.50 0.00\n0.50 1.50 0.50\n0.00 0.50 0.00",
        "through them:\n0.00 0.50 0.00\n0.50 0.50 0.50\n0.00 0.50 0.00",
        "both: x.grad:\n0.00 0.50 0.00\n0.50 1.50 0.50\n0.00 0.50 0.00",
        "with f(x) = 0:\n0.00 0.00 0.00\n0.00 1.00 0.00\n0.00 0.00 0.00",
        "(4, 16, 8, 8) → (4, 16, 8, 8) parameters of the shortcut: 0",
        "(4, 16, 8, 8) → (4, 32, 4, 4) parameters of the shortcut: 512",                    # 16 · 32
        "train does picture 0 notice that pictures 2 and 3 are gone? True",
        "eval does picture 0 notice that pictures 2 and 3 are gone? False",
    ],
    "18_degradation": [
        (r"^plain +(\d+) layers training loss (\S+) .* last layer (\S+) first (\S+)$",
         lambda shallow, deep: deep[0] == 32 and deep[1] > 1.5 * shallow[1] and deep[3] > 10 * deep[2] and shallow[3] < 4),
        (r"^shortcuts +(\d+) layers training loss (\S+) .* last layer (\S+) first (\S+)$",
         lambda shallow, deep: deep[1] < 1 and deep[3] < 10 * deep[2]),
        (r"^(?:plain|shortcuts) 32 layers instead of 8: (\S+) times", lambda plain, shortcuts: plain > shortcuts),
    ],
    "19_digits": [
        "1437 pictures to learn from, 360 to be tested on",
        (r"^seed \d: .* test accuracy (\S+)%$", lambda *each: len(each) == 2 and min(each) > 90),
        (r"^6 layers, (\d+) parameters: test accuracy (\S+)%", lambda found: found[0] == 19706 and found[1] > 90),
    ],
    "20_character_gpt": [
        "read: 'ORLANDO:\\nAs I remember, '",
        "guess: 'RLANDO:\\nAs I remember, A'",
        "106,560 parameters",                                       # (69 + 32) · 64, twice 12 · 64² + 13 · 64, and 2 · 64
        (r"^knowing nothing: loss (\S+)", lambda loss: loss == round(np.log(69), 2)),
        (r"^counting pairs of letters: loss (\S+)|^step 300 loss on new text (\S+)",
         lambda counting, gpt: gpt[1] < counting[0] - 0.05),
        (r"^(KING[\s\S]{200,})", lambda text: text.count(" ") > 20),
    ],
    "21_masked_language_model": [
        "words [CLS] the cat drinks milk . [SEP]",
        "masked [CLS] the cat [MASK] milk . [SEP]",
        "labels [-100, -100, -100, 8, -100, -100, -100]",
        "p(drinks) = e² / (2 e² + 12) = 0.2759",
        "loss by hand 1.2876",
        "F.cross_entropy 1.2876",
        "gradient at each position: [0.0, 0.0, 0.0, 1.4481, 0.0, 0.0, 0.0]",            # 2 · (1 − 0.2759)
        (r"^chosen: (\S+) of the words, (\d+) special tokens", lambda each: abs(each[0] - 0.15) < 0.005 and each[1] == 0),
        (r"^of those: \[MASK\] (\S+) another word (\S+) as it was (\S+)",                # 0.1 · 8/9 and 0.1 + 0.1 · 1/9
         lambda each: np.allclose(each, (0.8, 0.1 * 8 / 9, 0.1 * 10 / 9), atol=0.006)),
        (r"^the (?:\[MASK\] drinks milk|cat \[MASK\] milk|cat \[MASK\] fish) \. (\S+)",
         lambda *found: found == ("cat", "drinks", "eats")),
    ],
    "22_fine_tune_bert": [
        "1 I laughed until my stomach hurt, and so did the whole row behind us.",
        (r"^(MiniLM|small): (?:random weights, linear layer|pre-trained, linear layer|fine-tuned) (\S+)%",
         lambda *rows: len(rows) == 3 and (rows[0][0] == "small" or rows[0][1] < 65 and min(rows[1][1], rows[2][1]) > 72)),
    ],
    "23_modern_spelling": [
        "3,000 pairs to learn from, 300 held out, such as:",
        "read ile</s><pad>",
        "given <s>i'll",
        "labels i'll</s>",
        "copying the input would be right for 65.0% of the held-out words",
        (r"^exact match on held-out words: (\S+)% copying the input: 65.0%", lambda right: right > 76),
        (r"^attention within .* of the diagonal: (\S+)%", lambda near: near > 75),
    ],
    "24_weight_tying": [
        "tied 125,520 parameters, 76% of them in tables of words",
        "two tables 221,520 parameters, 87% of them in tables of words",                # 2000 · 48 more
        "rows with a gradient: reading 3, writing 2000",
        (r"^tied gradient − \(reading \+ writing\): (\S+)", lambda off: off < 1e-6),
        (r"^(?:tied|two tables) loss on new text after 120 steps: (\S+)", lambda *two: len(two) == 2 and max(two) < 6),
    ],
    "25_label_smoothing": [
        "smoothed 0.9333 0.0333 0.0333",
        "loss by hand 0.5076",                                                          # 0.4076 + 0.1/3 · (0 + 1 + 2)
        "F.cross_entropy 0.5076",
        "gradient p − y -0.2681 0.2114 0.0567",
        "scores apart 3.33 plain 0.0690 smoothed 0.2911",                               # −ln 0.9333
        "scores apart 12.00 plain 0.0000 smoothed 0.8000",                              # 12 · 0.2/3
        (r"^(?:plain|smoothed) right (\S+)% says it is sure by (\S+)% loss on new points (\S+)",
         lambda plain, smoothed: abs(plain[0] - smoothed[0]) < 6 and plain[1] > smoothed[1] + 5
         and plain[2] > 2 * smoothed[2]),
    ],
    "26_learning_rate_warmup": [
        "gradients 100 1 0.001 1e-06",
        "first step -0.0100 -0.0100 -0.0100 -0.0100",
        "rates step 1: 0.0003 step 20: 0.0050 step 40: 0.0100 step 160: 0.0050",        # 0.01 / 40, and 0.01 · √(40 / 160)
        (r"^(?:knowing only .* is: loss|.*warm-up loss after 80 steps) (\S+)",
         lambda frequencies, without, with_it: abs(without - frequencies) < 0.1 and with_it < frequencies - 0.25),
    ],
    "27_scalars_and_tensors": [
        (r"^loss scalars (\S+) tensors (\S+)", lambda each: each[0] == each[1]),
        "337 gradients, largest difference below 1e-12: True",                                  # 3 · 16 + 17 · 16 + 17
        (r"by tensors: (\d+) times as fast", lambda times: times > 100),
    ],
}


def run(path, folder, *options):
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}     # arrays are small, and tests run side by side
    return subprocess.run([sys.executable, "-W", "error", str(path), "--quick", *options], cwd=folder, env=one_thread,
                          capture_output=True, text=True, timeout=300)


def number(text):
    try:
        return float(text)
    except ValueError:
        return text


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_prints_the_right_numbers(path, tmp_path):
    draws = "--save" in path.read_text(encoding="utf-8")
    result = run(path, tmp_path, *(["--save", "picture.png"] if draws else []))
    assert result.returncode == 0, result.stderr
    printed = "\n".join(" ".join(line.split()) for line in result.stdout.splitlines())
    for expected in PRINTED[path.stem]:
        if isinstance(expected, str):
            assert f"\n{expected}\n" in f"\n{printed}\n", f"not printed: {expected}\n\n{result.stdout}"
        else:
            pattern, holds = expected
            found = re.findall(pattern, printed, re.M)
            assert found, f"nothing printed looks like {pattern}\n\n{result.stdout}"
            found = [tuple(map(number, each)) if isinstance(each, tuple) else number(each) for each in found]
            assert holds(*found), f"{pattern} found {found}"
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
