"""Pictures and models: the same code where a model is trained, run and explained."""
