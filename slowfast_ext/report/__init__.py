"""What to make of finished runs: tables, learning curves and pictures of attention."""
