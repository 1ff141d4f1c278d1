"""What the machine does: RUNs, instructions, streams, tables."""
