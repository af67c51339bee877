"""What every service shares: messages, topology, recipe, ports and their adapters."""
