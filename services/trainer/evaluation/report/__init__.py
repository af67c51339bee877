"""Write the evaluation of a model as one HTML page that loads nothing else."""
