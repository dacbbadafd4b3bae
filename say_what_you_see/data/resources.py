"""The table of files that the course can download, and how they get into the data folder."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import read_mirror
from say_what_you_see.data.checksums import verify
from say_what_you_see.data.download import download

_SHARED = ("karpathy", "weights")  # used by several data sets, so kept in the data folder itself


@dataclass(frozen=True)
class Resource:
    """A file on the internet."""

    dataset: str  # the data set or group that it belongs to
    name: str  # its file name
    folders: tuple[str, ...]  # the addresses of the folders that have it, its publisher's first
    bytes: int | None  # its size; None if it is not published
    checksum: str | None  # 'sha256:…' or 'md5:…'; None for files distributed on request
    licence: str  # on what terms it may be used
    purpose: str  # what it is for
    page: str = ""  # where people must ask for it, to put it in place themselves; "" for one that can be downloaded

    @property
    def relative_path(self) -> str:
        """Its path in the data folder and in a mirror."""
        return self.name if self.dataset in _SHARED else f"{self.dataset}/{self.name}"

    @property
    def urls(self) -> list[str]:
        """Its addresses, or that of the page."""
        return [f"{folder}/{self.name}" for folder in self.folders] or [self.page]


_COCO_URL = "http://images.cocodataset.org"
_COCO_MIRROR = "https://s3.amazonaws.com/images.cocodataset.org"  # the same files, over https
_COCO_PICTURES = "pictures from Flickr under the licences of their owners, see https://cocodataset.org/#termsofuse"
_FLICKR8K_URL = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k"
FLICKR_TERMS = "for non-commercial research and teaching; the pictures belong to their owners on Flickr"
FLICKR30K_PAGE = "http://shannon.cs.illinois.edu/DenotationGraph/"
_KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications"
_KERAS_MIRROR = "https://github.com/fchollet/deep-learning-models/releases/download"
_KERAS_TERMS = "MIT, like Keras; trained on ImageNet, whose pictures are for research only"
_VGG_TERMS = "Creative Commons Attribution, by the VGG group at Oxford; trained on ImageNet"


RESOURCES = (
    Resource(
        "coco", "train2014.zip", (f"{_COCO_URL}/zips", f"{_COCO_MIRROR}/zips"), 13_510_573_713,
        "sha256:ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
        _COCO_PICTURES, "82,783 photographs for training",
    ),
    Resource(
        "coco", "val2014.zip", (f"{_COCO_URL}/zips", f"{_COCO_MIRROR}/zips"), 6_645_013_297,
        "sha256:fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
        _COCO_PICTURES, "40,504 photographs for validation",
    ),
    Resource(
        "coco", "annotations_trainval2014.zip", (f"{_COCO_URL}/annotations", f"{_COCO_MIRROR}/annotations"),
        252_872_794, "sha256:031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
        "Creative Commons Attribution 4.0", "five captions per photograph, and what is where",
    ),
    Resource(
        "flickr8k", "Flickr8k_Dataset.zip", (_FLICKR8K_URL,), None, "md5:f18a1e2920de5bd84dae7cf08ec78978",
        FLICKR_TERMS, "8,091 photographs, about 1.1 GB",
    ),
    Resource(
        "flickr8k", "Flickr8k_text.zip", (_FLICKR8K_URL,), None, "md5:bf6c1abcb8e4a833b7f922104de18627",
        FLICKR_TERMS, "five captions per photograph, the official split, and expert judgements; about 2 MB",
    ),
    Resource(
        "karpathy", "caption_datasets.zip", ("https://cs.stanford.edu/people/karpathy/deepimagesent",), 36_745_453,
        "sha256:4cfd70132527b80933105e5829dc9034eaab9573482e2e680abbab6130244817",
        "none is stated; the captions are those of COCO, Flickr8k and Flickr30k",
        "Karpathy's split of COCO, Flickr8k and Flickr30k, with their captions",
    ),
    Resource(
        "flickr30k", "flickr30k-images.zip", (), None, None,
        FLICKR_TERMS, "31,783 photographs, distributed on request only", page=FLICKR30K_PAGE,
    ),
    Resource(
        "flickr30k", "results_20130124.token", (), None, None,
        FLICKR_TERMS, "five captions per photograph, distributed on request only", page=FLICKR30K_PAGE,
    ),
    Resource(
        "weights", "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        (f"{_KERAS_URL}/inception_v3", f"{_KERAS_MIRROR}/v0.5"), 87_910_968, "md5:bcbd6486424b2319ff4ef7d526e38f63",
        _KERAS_TERMS, "InceptionV3, trained on ImageNet, for photographs",
    ),
    Resource(
        "weights", "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        (f"{_KERAS_URL}/vgg16", f"{_KERAS_MIRROR}/v0.1"), 553_467_096, "md5:64373286793e3c8b2b4e3219cbf3544b",
        _VGG_TERMS, "VGG-16 with its classifier, trained on ImageNet, for show and tell",
    ),
    Resource(
        "weights", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        (f"{_KERAS_URL}/vgg16", f"{_KERAS_MIRROR}/v0.1"), None, "md5:6d6bbae143d832006294945121d1f1fc",
        _VGG_TERMS, "VGG-16 without its classifier, for ENCODER=vgg16",
    ),
)  # fmt: skip
"""The files that can be downloaded, each with its source, size, checksum and terms. The weights' checksums are those in
Keras' own table."""


def find_resource(name: str) -> Resource:
    """The entry of `RESOURCES` for a file name."""
    for resource in RESOURCES:
        if resource.name == name:
            return resource
    raise CourseError(f"There is no download called {name!r}. `say-what-you-see resources --list` shows them all.")


def resources_of(*datasets: str) -> list[Resource]:
    """The entries of `RESOURCES` that belong to these data sets, such as "coco" and "weights"; by default all."""
    known = sorted({resource.dataset for resource in RESOURCES})
    if unknown := sorted(set(datasets) - set(known)):
        raise CourseError(f"There are no downloads called {', '.join(unknown)}. There are: {', '.join(known)}.")
    return [resource for resource in RESOURCES if not datasets or resource.dataset in datasets]


def licence_of(dataset: str) -> str:
    """The terms on which the files of a data set may be used."""
    return "; ".join(dict.fromkeys(resource.licence for resource in resources_of(dataset)))


def fetch_resource(name: str, folder: Path) -> Path:
    """Get a file of `RESOURCES`: found in a folder or in the one above it, or downloaded into it.

    A file that was put there by hand is checked once; after that it is used without another check.

    Raises:
        CourseError: if the file is unavailable or not the right one; says how to get it by hand.
    """
    resource = find_resource(name)
    path = next((path for path in (folder / name, folder.parent / name) if path.is_file()), folder / name)
    is_new = not path.exists()
    if is_new and resource.page:
        raise CourseError(
            f"{name} is distributed on request only. Ask for it at {resource.page} and save it as {path}."
        )
    mirror, checksum = read_mirror(), resource.checksum
    url, *others = [f"{mirror}/{quote(resource.relative_path)}", *resource.urls] if mirror else resource.urls
    download(url, path, bytes=resource.bytes, checksum=checksum if is_new else None, mirrors=others)
    if checksum:
        verify(path, checksum, was_checked=is_new)
    return path


def describe_resources() -> str:
    """The table of resources, ready to print."""
    lines = []
    for resource in RESOURCES:
        size = f"{resource.bytes:,} bytes" if resource.bytes else "size not published"
        proof = "on request, put it there by hand" if resource.page else f"{size}, {resource.checksum}"
        terms = f"licence: {resource.licence}", f"goes to: {resource.relative_path}"
        lines.append(f"{resource.name}: {resource.purpose}")
        lines += [f"    {line}" for line in (*resource.urls, proof, *terms)]
    return "\n".join(lines)
