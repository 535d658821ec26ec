"""What comes after a search: confirm, export, train, evaluate, classify; never imports `view`."""
