"""All commands and their options. Nothing here imports NumPy or Keras: `--help` should appear at once."""

import argparse
from collections.abc import Callable, Sequence

from say_what_you_see import __version__
from say_what_you_see.commands import options as kind

VARIABLES = ("DATASET", "ENCODER", "COURSE_SIZE", "COURSE_SPLIT", "COURSE_SEED")
"""The environment variables over which options take precedence."""

_DETAILS = {
    "records": " An interrupted run continues with the shards that are missing.",
    "train-records": (
        " Phase 1 leaves the CNN as it is; phase 2 (--train-inception) trains everything and continues in the same "
        "folder. Steps are counted from the very beginning, so phase 2 needs a larger --steps than phase 1 had. All "
        "GPUs of the machine are used; with several machines, start the same command on each, with TF_CONFIG set and "
        "the folders on a shared disk. To watch it: say-what-you-see evaluate-records, and tensorboard --logdir."
    ),
    "evaluate-records": (
        " Run it alongside train-records. If they do not both fit on one GPU, CUDA_VISIBLE_DEVICES= makes the "
        "evaluation run on the CPU."
    ),
    "run-inference": " A picture that cannot be read is reported, and the others are captioned.",
}


def build_parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    parser = argparse.ArgumentParser(prog="say-what-you-see", description="Say What You See, without the notebooks.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (add_options, summary) in COMMANDS.items():
        description = f"{summary[0].upper()}{summary[1:]}.{_DETAILS.get(name, '')}"
        command = commands.add_parser(name, help=summary, description=description)
        _add_settings(command)
        if add_options:
            add_options(command)
    return parser


def _add_settings(command: argparse.ArgumentParser) -> None:
    """The options that every command has: they are stored under the names of the variables that they replace."""
    option = command.add_argument
    option("--dataset", dest="DATASET", help="scenes, coco, flickr8k, flickr30k, or a folder of your own (DATASET)")
    option("--encoder", dest="ENCODER", help="inception_v3, efficientnet_lite2, vgg16 …, or a .keras file (ENCODER)")
    option("--size", dest="COURSE_SIZE", choices=("full", "small"), help="small: a few dozen pictures (COURSE_SIZE)")
    karpathy = "karpathy: train, validate and test on the same pictures as most papers (COURSE_SPLIT)"
    option("--split", dest="COURSE_SPLIT", choices=("usual", "karpathy"), help=karpathy)
    seed = "seed of all random numbers (COURSE_SEED; default: 0)"
    option("--seed", dest="COURSE_SEED", type=kind.seed, metavar="SEED", help=seed)


def _add_cluster_options(command: argparse.ArgumentParser, formats: Sequence[str]) -> None:
    """The options for working with Ray; `formats` are those that shards can have, the default first."""
    option = command.add_argument_group("many pictures, on one machine or several (docs/cluster.md)").add_argument
    option("--engine", choices=("ray",), help="ray: use Ray Data (pip install -r requirements-ray.txt)")
    default = "default: Ray on this machine, for this run only"
    option("--address", metavar="HOST:PORT", help=f"a Ray cluster to use; auto: the one here ({default})")
    output = "where shards and manifest go; an interrupted run continues there"
    option("--output", type=kind.path, metavar="FOLDER", help=output)
    option("--format", choices=formats, help=f"format of the shards (default: {formats[0]})")
    option("--shard-size", type=kind.count, metavar="N", help="most pictures in a shard (default: 2048)")
    option("--batch-size", type=kind.batch_size, metavar="N", help="pictures at a time (default: 32; try more on GPUs)")
    default = "default: one for each GPU; without GPUs, one for every four CPUs of each machine"
    option("--workers", type=kind.workers, metavar="N", help=f"copies of the model to run ({default})")
    gpus = "0.5: two workers on each GPU; 0: CPUs only (default: 1 if there are GPUs)"
    option("--gpus-per-worker", type=kind.number(0, 64), metavar="X", help=gpus)
    option("--retries", type=kind.whole_number(0, 1000), metavar="N", help="how often to retry work (default: 5)")
    option("--bytes-column", metavar="NAME", help="column of Parquet files with the pictures")
    option("--name-column", metavar="NAME", help="column of Parquet files with the names")


def _add_resources(command: argparse.ArgumentParser) -> None:
    files = "files to download, named as in --list (default: what the data set needs)"
    command.add_argument("files", nargs="*", metavar="FILE", help=files)
    command.add_argument("--list", action="store_true", help="show a table of all that can be downloaded, and exit")


def _add_embed(command: argparse.ArgumentParser) -> None:
    sources = "with --engine ray: folders, zips, tars, Parquet files or pictures (default: the data set)"
    command.add_argument("--input", nargs="+", metavar="SOURCE", help=sources)
    _add_cluster_options(command, ("npy", "parquet"))


def _add_train(command: argparse.ArgumentParser) -> None:
    control = "train the control of notebook 04 instead, on shuffled captions"
    further = command.add_mutually_exclusive_group().add_argument
    further("--control", action="store_true", help=control)
    cider = (
        "train the trained model further, for the CIDEr of captions that it samples (self-critical training), up to "
        "this number of epochs; the result gets a model folder of its own"
    )
    further("--cider", type=kind.count, metavar="EPOCHS", help=cider)
    model = "which decoder to train: that of notebook 04, 07, 08 or 11; missing features and captions are made first"
    models = ("decoder", "show-and-tell", "attention", "transformer")
    command.add_argument("--model", choices=models, default="decoder", help=model)


def _add_evaluate(command: argparse.ArgumentParser) -> None:
    option = command.add_argument
    default = "default: every model that was trained, but not further for CIDEr"
    model = f"evaluate this model (may be given several times; {default})"
    option("--model", action="append", metavar="FOLDER|NAME", help=model)
    results = "also score the captions in this file (COCO's results format), whoever wrote them"
    option("--results", type=kind.path, metavar="FILE", help=results)
    pictures = "evaluate at most N pictures (default: 1000 validation pictures, or all test pictures)"
    option("--pictures", type=kind.count, metavar="N", help=pictures)
    option("--greedy", action="store_true", help="greedy captions only, no sampling and no beam search")
    option("--no-java", action="store_true", help="leave out METEOR and SPICE, which need Java and a minute")
    option("--html", type=kind.path, metavar="FILE", help="where to write the page of errors")
    option("--json", action="store_true", help="print JSON, for other programs")


def _add_caption(command: argparse.ArgumentParser) -> None:
    option = command.add_argument
    photos = "picture files, folders, patterns such as 'holiday/*.jpg', http(s) addresses, or - for standard input"
    with_ray = "with --engine ray: files, folders, zips, tars and Parquet files"
    option("photos", nargs="+", metavar="PHOTO", help=f"{photos}; {with_ray}")
    default = "default: the last one trained on photographs, or else photos, which comes with the course"
    model = f"model folder, or a name: photos, scenes, or that of an installed model ({default})"
    option("--model", metavar="FOLDER|NAME", help=model)
    option("--max-len", type=kind.caption_length, default=20, metavar="N", help="stop after N words (default: 20)")
    sampler = command.add_mutually_exclusive_group().add_argument
    beam = "beam search: show the K best captions, ranked with --length-penalty (default: the best of 3; scenes: K = 1)"
    sampler("--beam", type=kind.beam_width, metavar="K", help=beam)
    sampler("--sample", action="store_true", help="draw words according to their probability (see --temperature)")
    penalty = "beam search: rank by log-probability / words**A; 1 favours longer captions (default: 0.7; scenes: 0)"
    option("--length-penalty", type=kind.number(-10, 10), metavar="A", help=penalty)
    repeats = (
        "not with --sample: never say N words in a row twice, nor a word after itself (default: 3; 0: may do both)"
    )
    option("--no-repeat-ngram-size", type=kind.whole_number(0, 20), metavar="N", help=repeats)
    temperature = "with --sample: below 1 more cautious, above 1 more daring (default: 1)"
    option("--temperature", type=kind.number(1e-6, 1e6), metavar="T", help=temperature)
    option("--top-k", type=kind.count, metavar="K", help="with --sample: draw from the K most probable words only")
    smallest = "with --sample: draw from the smallest set of words whose total probability reaches P"
    option("--top-p", type=kind.number(1e-6, 1), metavar="P", help=smallest)
    with_keras = "load the model with Keras; neither use nor make its quick copy, which says the same"
    option("--with-keras", action="store_true", help=with_keras)
    form = command.add_mutually_exclusive_group().add_argument
    form("--json", action="store_true", help="print JSON, for other programs")
    form("--html", type=kind.path, metavar="FILE", help="write a page with the pictures and their captions")
    _add_cluster_options(command, ("jsonl", "parquet"))


def _add_demo(command: argparse.ArgumentParser) -> None:
    port = "port on 127.0.0.1 (default: any free one)"
    command.add_argument("--port", type=kind.whole_number(0, 65535), default=0, metavar="N", help=port)
    model = "model folder or name (default: all trained models, or else photos, which comes with the course)"
    command.add_argument("--model", metavar="FOLDER|NAME", help=model)
    command.add_argument("--no-browser", action="store_true", help="only print the address of the page")


def _add_model(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    install = actions.add_parser("install", help="install a model; `caption --model NAME` then uses it")
    install.add_argument("source", metavar="URL|FOLDER|ZIP", help="where the model is")
    install.add_argument("--name", help="what to call it (default: its name there)")
    install.add_argument("--checksum", metavar="sha256:…", help="checksum of the zip, or of a folder's model.json")
    actions.add_parser("list", help="list the models that come with the course and the installed ones")
    pack = actions.add_parser("pack", help="pack a model folder into a zip file, to share")
    pack.add_argument("zip", type=kind.path, metavar="FILE.zip", help="the zip file to write")
    with_encoder = (
        "also pack the .keras file of the model's encoder (ENCODER), so that nothing else is needed; its licence must "
        "allow it"
    )
    pack.add_argument("--with-encoder", action="store_true", help=with_encoder)
    half = "store the weights in half precision, in half the space; captions stay the same except for a few words"
    pack.add_argument("--half-precision", action="store_true", help=half)
    which = "model folder, or an installed model (default: the last one trained on photographs)"
    pack.add_argument("--model", metavar="FOLDER|NAME", help=which)


def _add_mirror(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=kind.path, metavar="FOLDER", help="the folder to fill")
    what = "coco, flickr8k, flickr30k, karpathy, weights (default: all of them, about 23 GB)"
    command.add_argument("what", nargs="*", metavar="WHAT", help=what)


def _add_records(command: argparse.ArgumentParser) -> None:
    command.add_argument("--records", type=kind.path, metavar="FOLDER", help="output; default: data set's folder")
    for split in ("train", "val", "test"):
        shards = kind.whole_number(int(split != "test"), 99_999)
        command.add_argument(f"--{split}-shards", type=shards, metavar="N", help=f"number of {split} shards")
    command.add_argument("--workers", type=kind.workers, metavar="N", help="shards written at the same time")


def _add_record_folders(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--records", type=kind.path, metavar="FOLDER", help="folder of the shards; default: in the data set's folder"
    )
    folder = "where train/, eval/ and eval_test/ go; default: im2txt in the settings' folder"
    command.add_argument("--folder", type=kind.path, metavar="FOLDER", help=folder)


def _add_train_records(command: argparse.ArgumentParser) -> None:
    _add_record_folders(command)
    option = command.add_argument
    option("--steps", type=kind.whole_number(1, 10**9), required=True, metavar="N", help="train up to this step")
    option("--train-inception", action="store_true", help="phase 2: train the CNN as well")
    option("--batch-size", type=kind.batch_size, default=32, metavar="N", help="on all devices together (default: 32)")
    rate = "initial learning rate (default: 0.001, phase 2: 0.00005)"
    option("--learning-rate", type=kind.number(1e-12, 1000), metavar="X", help=rate)
    warm_up = "steps over which the learning rate rises (default: 0, phase 2: 100)"
    option("--warm-up", type=kind.whole_number(0, 1_000_000), metavar="N", help=warm_up)
    option("--save-every", type=kind.count, default=1000, metavar="N", help="steps between checkpoints (default: 1000)")
    option("--keep", type=kind.count, default=5, metavar="N", help="how many checkpoints to keep (default: 5)")
    option("--log-every", type=kind.count, default=20, metavar="N", help="steps between logged values (default: 20)")
    side = "side length of the pictures in pixels (default: the encoder's)"
    option("--side", type=kind.whole_number(1, 2048), metavar="N", help=side)
    option("--units", type=kind.whole_number(1, 16_384), metavar="N", help="size of LSTM and embeddings (default: 512)")
    option("--dropout", type=kind.number(0, 0.999), metavar="X", help="fraction of units dropped (default: 0.3)")
    precision = "precision of the CNN (default: the best for the GPU; float32 on a CPU)"
    option("--precision", choices=("float32", "mixed_bfloat16", "mixed_float16"), help=precision)


def _add_evaluate_records(command: argparse.ArgumentParser) -> None:
    _add_record_folders(command)
    option = command.add_argument
    option("--once", action="store_true", help="evaluate what is there, and do not wait for more")
    option("--timeout", type=kind.count, metavar="SECONDS", help="stop when nothing new has come for this long")
    option("--shards", choices=("val", "test"), default="val", help="which shards to use (default: val)")
    option("--batch-size", type=kind.batch_size, default=32, metavar="N", help="captions at a time (default: 32)")


def _add_run_inference(command: argparse.ArgumentParser) -> None:
    option = command.add_argument
    option("photos", nargs="+", type=kind.path, metavar="PHOTO", help="picture files")
    checkpoint = "a checkpoint, or a folder, whose latest is used (default: the settings' folder)"
    option("--checkpoint", type=kind.path, metavar="PATH", help=checkpoint)
    option("--beam", type=kind.beam_width, default=3, metavar="K", help="captions per picture (default: 3)")
    option("--max-len", type=kind.caption_length, default=20, metavar="N", help="stop after N words (default: 20)")


_Adder = Callable[[argparse.ArgumentParser], None]
COMMANDS: dict[str, tuple[_Adder | None, str]] = {
    "environment": (None, "check whether this computer has what the course needs; paste the output into bug reports"),
    "resources": (_add_resources, "draw or download the pictures and captions, and show what there is"),
    "embed": (_add_embed, "run the pictures through the encoder and keep the embeddings"),
    "prepare": (None, "make the vocabulary and turn the captions into numbers"),
    "train": (_add_train, "train the decoder and write a model folder"),
    "evaluate": (_add_evaluate, "measure the captions of the trained models: metrics, truth, diversity, errors"),
    "caption": (_add_caption, "describe pictures with a trained model"),
    "demo": (_add_demo, "caption pictures on a page in the browser, and watch it happen"),
    "model": (_add_model, "install, list and pack trained models"),
    "mirror": (_add_mirror, "fill a folder with the course's downloads, for a classroom server"),
    "records": (_add_records, "write the data set as sharded TFRecords, in im2txt's format"),
    "train-records": (
        _add_train_records,
        "train im2txt's model on TFRecords, on one machine or several; continues where it stopped",
    ),
    "evaluate-records": (_add_evaluate_records, "wait for checkpoints of train-records and measure their perplexity"),
    "run-inference": (_add_run_inference, "caption pictures with a checkpoint of train-records, with beam search"),
}
