"""Numbers without torch: the Bradley-Terry solver, bootstrap, calibration, agreement."""
