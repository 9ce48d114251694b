"""What `offramp test` runs: settings, runs on emulated boards, baseline, checks, reports."""
