"""Texts as HTML that is safe to show: Markdown, code, mathematics, tool calls, images.

Nothing is loaded from outside, nothing that a text says becomes markup of the page, and no
character of it is lost without being said. `worker` does it in a process that can be killed.
"""
