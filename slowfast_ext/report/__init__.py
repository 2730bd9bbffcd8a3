"""Reports on finished runs: tables, learning curves and pictures of attention."""
