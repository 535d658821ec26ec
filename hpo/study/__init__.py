"""What a study is, and what SQL keeps of it; never imports another room of `hpo`."""
