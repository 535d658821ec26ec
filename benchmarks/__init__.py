"""What the program is measured against, and how: ``python -m benchmarks``."""
