"""The same arithmetic, quicker: on a CPU, in the memory at hand, as one recorded step on a GPU."""
