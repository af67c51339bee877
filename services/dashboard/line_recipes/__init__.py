"""The recipe by which a line is inspected: what the gateway announces, and changes by people."""
