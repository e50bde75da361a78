"""The web app's pages, one file an audience."""
