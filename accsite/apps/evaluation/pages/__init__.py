"""What the HTML pages of evaluation show: queries only."""
