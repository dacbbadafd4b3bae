"""Where pictures and captions come from: resources and their downloads, COCO, Flickr, folders, the drawn scenes.

Every data set ends as the same three zips (`coco_format`). What a picture or a caption is turned into is decided above,
in `vision` and `language`.
"""
