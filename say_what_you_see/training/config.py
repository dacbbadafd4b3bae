"""How a decoder is trained: a few settings, and the learning rate that follows from them."""

from dataclasses import dataclass

from say_what_you_see.core.backend import keras


@dataclass(frozen=True)
class TrainingConfig:
    """How to train."""

    epochs: int
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    dropout: float = 0.0
    max_len: int = 20  # captions are cut to this many indices, START and END included
    seed: int = 0
    # "cosine": the learning rate rises for half an epoch, then falls nearly to zero along a cosine; "exponential": it
    # starts at its highest and is halved every `half_life` epochs; "constant": it does not change
    schedule: str = "cosine"
    half_life: float = 2.0
    label_smoothing: float = 0.0
    captions_per_image: int = 1
    # batch captions of similar length, so that there is little padding (not for the bottlenecked LSTM: it packs its
    # captions anyway)
    similar_lengths: bool = False
    # in training for CIDEr: the weight of the cross-entropy of the same pictures' true captions, beside the rewards
    crossentropy_weight: float = 0.0


def learning_rate_schedule(
    config: TrainingConfig, steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate of each step."""
    schedules = keras.optimizers.schedules
    if config.schedule == "exponential":
        return schedules.ExponentialDecay(config.learning_rate, max(1, int(config.half_life * steps_per_epoch)), 0.5)
    if config.schedule == "constant":
        return schedules.ExponentialDecay(config.learning_rate, 1, 1.0)
    if config.schedule != "cosine":
        raise ValueError(f"The schedule is {config.schedule!r}. It must be one of: cosine, exponential, constant.")
    total, warm_up = config.epochs * steps_per_epoch, steps_per_epoch // 2
    return schedules.CosineDecay(
        config.learning_rate * 0.01,
        max(1, total - warm_up),
        alpha=0.01,
        warmup_target=config.learning_rate,
        warmup_steps=warm_up,
    )
