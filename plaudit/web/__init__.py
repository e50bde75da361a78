"""What both web applications share, without knowing either: headers, limits, tokens, errors."""
