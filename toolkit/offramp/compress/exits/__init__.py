"""Early exits: where they can stand, their heads, and honest thresholds."""
