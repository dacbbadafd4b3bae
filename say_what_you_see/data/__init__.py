"""Pictures and captions from anywhere: every data set ends as the same zips in COCO's format."""
