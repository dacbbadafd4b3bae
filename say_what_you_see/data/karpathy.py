"""Karpathy's split of COCO, Flickr8k and Flickr30k: the images that most papers train, validate and test on.

Karpathy and Fei-Fei (2015, arXiv:1412.2306) published it, with the captions, as dataset_coco.json,
dataset_flickr8k.json and dataset_flickr30k.json in one zip.
"""

from pathlib import Path

from say_what_you_see.data.coco_format import DatasetFiles, build_if_stale, read_zipped_json
from say_what_you_see.data.flickr import convert, find_flickr30k
from say_what_you_see.data.resources import FLICKR30K_PAGE, fetch_resource, find_resource, licence_of

SPLIT_ZIP = "caption_datasets.zip"
_SPLIT_OF = {"train": "train", "restval": "train", "val": "val", "test": "test"}  # restval: the rest of val2014
_IMAGE_ZIPS = {"coco": ("train2014.zip", "val2014.zip"), "flickr8k": ("Flickr8k_Dataset.zip",)}
_SOURCES = {
    "coco": "https://cocodataset.org",
    "flickr8k": "Hodosh, Young and Hockenmaier 2013",
    "flickr30k": FLICKR30K_PAGE,
}


def get_karpathy_split(dataset: str, folder: Path, data_folder: Path) -> DatasetFiles:
    """Get a data set ready in Karpathy's split, with a zip of images for each part.

    Args:
        dataset: "coco", "flickr8k" or "flickr30k".
        folder: where copies of the images go; the downloaded zips are not needed after that.
        data_folder: where the file with the split goes, and where the data sets' own folders are.
    """
    source = f"{_SOURCES[dataset]}; split: Karpathy and Fei-Fei 2015"
    files = DatasetFiles.in_folder(folder, dataset, source, licence_of(dataset), with_test=True)

    def build() -> None:
        splits, captions, ids = read_split(fetch_resource(SPLIT_ZIP, data_folder), dataset)
        if dataset == "flickr30k":
            zips = find_flickr30k(data_folder / dataset, with_captions=False)
        else:
            zips = [fetch_resource(name, data_folder / dataset) for name in _IMAGE_ZIPS[dataset]]
        convert(files, zips, captions, splits, ids)

    build_if_stale(folder, {"dataset": dataset, SPLIT_ZIP: find_resource(SPLIT_ZIP).checksum}, files.zips, build)
    return files


def read_split(zip_path: Path, dataset: str) -> tuple[list[list[str]], dict[str, list[str]], dict[str, int]]:
    """Read what Karpathy published for one data set, in a zip of known checksum: the names of the images for training
    (including COCO's "restval"), validation and test; the captions of each image; and its id, COCO's or Karpathy's.
    """
    splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    captions, ids = {}, {}
    for image in read_zipped_json(zip_path, f"dataset_{dataset}.json")["images"]:
        name = image["filename"]
        splits[_SPLIT_OF[image["split"]]].append(name)
        captions[name] = [sentence["raw"].strip() for sentence in image["sentences"]]
        ids[name] = image.get("cocoid", image["imgid"])
    return list(splits.values()), captions, ids
