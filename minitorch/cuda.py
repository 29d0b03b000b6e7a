"""PyTorch's ``cuda`` names, so that device-choosing code runs: this build computes on the CPU."""

__all__ = ["device_count", "is_available", "manual_seed_all", "synchronize"]


def is_available() -> bool:
    """False: there is no GPU backend in this build."""
    return False


def device_count() -> int:
    """How many GPUs can be used."""
    return 0


def manual_seed_all(seed: int) -> None:
    """Seed every GPU's generator; there are none."""


def synchronize() -> None:
    """Wait for the GPU; there is nothing to wait for."""
