"""A folder for a paper: tables in LaTeX that fit its page, pictures at its widths."""
