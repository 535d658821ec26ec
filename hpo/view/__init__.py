"""A study as a person sees it while it runs; never imports `results`."""
