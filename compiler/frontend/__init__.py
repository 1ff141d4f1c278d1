"""Networks as users have them to traced graphs."""
