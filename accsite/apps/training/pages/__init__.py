"""What the HTML pages of training show: queries only, each page's in one function."""
