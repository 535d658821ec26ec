"""The tables of Koch et al. 2015, measured again; never imports `report` or `cli`."""
