"""What a study found, as one HTML page and one table; never imports `cli`."""
