"""What comes after a search: retrain, compare, export, evaluate, classify; never imports `view`."""
