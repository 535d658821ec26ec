"""The twin network and its training; knows nothing of a search."""
