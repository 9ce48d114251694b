"""Live inference: a source streams rows to a board, and what comes back is printed, drawn, served and recorded."""
