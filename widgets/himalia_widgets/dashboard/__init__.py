"""The Bokeh dashboard: a server process of its own, or the same pages over a recording."""
