"""Messages between processes: the port, its adapters, and the loop that keeps the order publish, confirm, ack."""
