"""The host harness: link to a board, emulated boards, flashing, live inference."""
