"""The first look without a deployment: what several systems' exports say of the same stock, and why they differ.

::

    files --opening, proof--> layouts --reading--> shards on disk --slices--> keys side by side
                                                                                  |
          report  <--attribution--  explanations that hold  <--evidence--  what differs

Nothing is guessed silently: what a file's layout is, is proven from the file (and said), asked, or declared. Memory
does not grow with the files: rows are kept on disk in shards, by what is left of a SKU when its spelling is ignored,
so that every shard can be compared by itself.
"""
