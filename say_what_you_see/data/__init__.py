"""Where pictures and captions come from: resources and their downloads, COCO, Flickr, folders, the drawn scenes.

Every data set ends up in one form, zips of pictures and a zip of captions (`coco_format`). What these are turned into
is decided in `vision` and `language`.
"""
