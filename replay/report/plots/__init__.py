"""Figures of reports, drawn without pyplot: no global state and no display."""
