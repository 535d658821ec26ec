"""Drawn characters, their splits, pairs, distortions and one-shot tasks."""
