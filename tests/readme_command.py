"""Print the README's first or second code block, so that what is written there is what is run: readme_command.py 2"""

import re
import sys
from pathlib import Path

blocks = re.findall(r"^```[a-z]*\n(.*?)^```", (Path(__file__).parent.parent / "README.md").read_text(), re.M | re.S)
print(blocks[int(sys.argv[1]) - 1].strip())
