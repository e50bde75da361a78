"""The judging app: pages, templates and static files on a Study."""
