"""Other tools' stop rules, bit for bit, by name and version: one file per tool."""
