"""How the site is built: ``python -m sphinx -W -b html docs docs/_build/html``. Nothing is fetched from the network."""

import os
import sys
from pathlib import Path

import minitorch

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
os.environ["MINITORCH_QUIET"] = "1"  # on a machine that compiles, the examples' pages show their output and nothing else

project = "minitorch"
author = "the minitorch authors"
release = version = minitorch.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary",
              "sphinx_gallery.gen_gallery", "inline_svg", "offline_pages", "reference_pages", "thumbnails"]
default_role = "code"
exclude_patterns = ["_build", "performance"]     # its tables are part of performance.md
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
suppress_warnings = ["config.cache"]

# Code blocks without a language hold formulas.
highlight_language = "text"
myst_heading_anchors = 3

autosummary_generate = False
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 100
toc_object_entries = False

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"\d\d_\w+\.py",
    "within_subsection_order": "FileNameSortKey",
    "reset_argv": "reference_pages.quick",
    "capture_repr": ("_repr_html_",),
    "remove_config_comments": True,
    "show_memory": False,
    "min_reported_time": 1000,
    "write_computation_times": False,
    "default_thumb_file": str(Path(__file__).parent / "_static" / "numbers.svg"),
    "notebook_extensions": set(),
    "show_signature": False,
    "download_all_examples": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "minitorch"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sphinx = False
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"index": [], "architecture": [], "coming-from-pytorch": [], "contributing": []}
html_theme_options = {
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 8,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "footer_start": [],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "github-light-colorblind",
    "pygments_dark_style": "github-dark-colorblind",
}
