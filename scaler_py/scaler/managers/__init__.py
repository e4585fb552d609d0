"""Worker managers: one generic host, and drivers that know an infrastructure each."""
