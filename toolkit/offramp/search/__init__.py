"""Search: many variants of a recipe tried, those kept that no other beats in every objective."""
