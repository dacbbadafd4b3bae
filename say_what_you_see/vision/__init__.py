"""From images to numbers: decoding and cropping, pretrained encoders, and the extraction of embeddings from a zip.

Zips themselves are read in `say_what_you_see.data`; models that the course trains, some of them on pixels, are in
`say_what_you_see.models`.
"""
