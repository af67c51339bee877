"""How Seamline is put to work: one machine, compose, Kubernetes."""
