"""What was lost: one file per probe, each with a figure before and after tuning, its interval and a red line that a gate can use."""
