"""minitorch."""
