"""What pages say, held against what is stored."""
