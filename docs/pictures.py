"""Make the README's pictures again: ``python docs/pictures.py`` (needs chromium and chromedriver).

Everything in them is computed: the player and the residual lab by our engine, photographed in a browser, and the figure by
``minitorch gradflow``.
"""

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "helpers"))

from browser import Browser  # noqa: E402

from minitorch import explain  # noqa: E402
from minitorch.cli import main  # noqa: E402

if __name__ == "__main__":
    pictures = HERE / "_static"
    with tempfile.TemporaryDirectory() as folder, Browser(width=1360, height=860) as browser:
        trace, _ = explain.record_script(explain.program("block")[0])
        browser.open(explain.save_player(trace, Path(folder) / "block.html"))
        step = next(s.index for s in trace.backward if s.op == "Attention")
        browser.press(*["ArrowRight"] * (step + 1))
        browser.picture(pictures / "player.png")
        browser.open(explain.save_residual_lab(Path(folder) / "lab.html"))
        browser.picture(pictures / "lab.png")
    main(["gradflow", "--save", str(pictures / "gradient-flow.png")])
