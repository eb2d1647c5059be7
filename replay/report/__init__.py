"""What people and machines read: text tables, JSON, CSV, markdown and plots. Functions return text; nothing
is computed here.
"""
