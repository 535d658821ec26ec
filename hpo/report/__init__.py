"""What a study found, as one HTML page that needs no network."""
