"""Portraits of people who do not exist, drawn from parameters.

`person` says who somebody is, `pose` what one photo does to them; `brush` rasterises, `skin`,
`features` and `hair` each draw their part, and `painter` composes the parts.

Convention:
    Face coordinates are (x, y) in pixels of the canonical canvas, x counted from the face's
    middle line. Colours are RGB in [0, 1]. Layers are float32, (3, SIDE, SIDE), drawn
    upright with a margin that the last step, which turns the head, cuts off.
"""
