"""What frames of acetate are made of, drawn from a generator: colours first, then the light.

`stock` says how large a share of the shop each family has, and draws a frame of it; `plain`,
`acetates` and `prints` each paint some families, of `fields`, `motifs` and `palettes`.

Fields are float32 over the 64x176 crop. Waves and blobs are kept wider than about four pixels,
so that a small generator can learn them.
"""
