"""Many processes on one study; never imports `report` or `cli`."""
