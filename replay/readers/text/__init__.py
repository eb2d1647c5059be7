"""What trainings print on a terminal: the lines of a text, and the dialects that tools print in."""
