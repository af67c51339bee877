"""Serve the decisions of a line over OPC UA in the terms of OPC 40100-1 (Machine Vision)."""
