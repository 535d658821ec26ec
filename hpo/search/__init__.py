"""How a trial is proposed, run and cut short; of `hpo` it imports `study` alone."""
