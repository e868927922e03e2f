"""Linear image maps: what a stretch of a graph computes, as one kernel, and how to write it.

`form` holds the algebra, `steps` reads one node, `scene` collects what belongs together, `emit`
writes a form as nodes again, `engine` counts the convolution engine's cycles.
"""
