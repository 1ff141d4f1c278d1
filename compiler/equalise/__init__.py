"""Channels of unequal range, scaled by powers of two where that is exact and gains."""
