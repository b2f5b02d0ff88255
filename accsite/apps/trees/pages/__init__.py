"""What the HTML pages of trees show: queries only."""
