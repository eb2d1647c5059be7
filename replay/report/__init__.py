"""What people and machines read: documents, figures, and the formats of CI systems.

One module per command builds a `replay.report.document.Document` of the command's results;
`replay.report.render` has one renderer per format. Nothing is computed here.
"""
