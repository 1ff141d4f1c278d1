"""What executes a program, compares two executions and counts figures; it prints nothing."""
