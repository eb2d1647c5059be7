"""The page of ``replay report``: what it is made from, its data, and the file."""
