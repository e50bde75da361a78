"""What both web applications share: headers, limits, errors, tokens."""
