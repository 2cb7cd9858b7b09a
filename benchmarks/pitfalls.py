"""Nineteen ways in which timings of this kind mislead: what the research code did, and what maskprof does instead.

Told by ChulanZhang/molmo_hf at 09bce1f, whose two versions of one measurement are A (hooks in one `generate()`) and B
(parts timed in runs of their own).
"""

from dataclasses import dataclass

NOT_HERE = "Not measurable on a machine without a GPU."


@dataclass(frozen=True, slots=True, kw_only=True)
class Pitfall:
    """One of them; `without_size` says why no time can be given, where none can."""

    title: str
    theirs: str
    instead: str
    without_size: str = ""


PITFALLS: dict[int, Pitfall] = {
    1: Pitfall(
        title="Prefill without block 0",
        theirs=(
            "The clock of prefill starts in a hook *after* block 0 and ends after the last block. "
            "Block 0, the embedding, "
            "the mask, the final norm and the head are in no stage; with one active block prefill "
            "takes no time."
        ),
        instead=(
            "Prefill is the whole first forward minus its vision part, from the call to the return: "
            "embedding, all "
            "blocks, norm, head."
        ),
    ),
    2: Pitfall(
        title="Vision that includes the embedding",
        theirs=(
            "The clock of vision starts where the model's forward is entered: position ids, the mask "
            "and the embedding "
            "look-up, which copies the whole table each time, count as vision. Without a picture they "
            "count as nothing."
        ),
        instead=(
            "Vision runs from the entry of the vision tower to the end of its projector, inside the "
            "same forward. Our "
            "Molmo looks its two tables up one after the other and copies neither."
        ),
    ),
    3: Pitfall(
        title="Stages that do not add up",
        theirs="Vision, prefill and decode leave a part of the total out, and nothing says how much.",
        instead=(
            "Vision + prefill + decode + remainder is the total in every sample, and the remainder is "
            "stored; a test holds "
            "that."
        ),
    ),
    4: Pitfall(
        title="Decode and projector by subtraction",
        theirs=(
            "B takes decode as what is left of one `generate()` after stage times of *other* runs are "
            "taken off, and the "
            "projector as the difference of two means of other runs; what comes out negative becomes 0."
        ),
        instead="Every stage is timed itself, in the same pass; differences between configurations keep their sign.",
    ),
    5: Pitfall(
        title="A synchronisation at every mark",
        theirs=(
            "Each mark waits for the GPU, three times per decode step: the host can no longer run "
            "ahead, and total and "
            "decode contain the stalls."
        ),
        instead="Events in the stream mark the phases; the device is waited for before a sample and after it.",
        without_size=NOT_HERE,
    ),
    6: Pitfall(
        title="Decode that ends after everything",
        theirs=(
            "Decode ends where `generate()` has returned and the total has been read: sampling, "
            "stopping criteria and the "
            "final copying of tokens are in it, while the per-step times leave them out."
        ),
        instead=(
            "Each step is timed from its call to its next token; decode is their sum, and what lies "
            "between is remainder."
        ),
    ),
    7: Pitfall(
        title="No warm-up",
        theirs=(
            "With one run per sample, the default, there is none: whatever happens once happens in the "
            "first samples."
        ),
        instead="Rounds of warm-up until times no longer change, unrecorded; how many there were is stored.",
    ),
    8: Pitfall(
        title="Autocast over float32 weights",
        theirs=(
            "Weights stay float32 and are cast inside the timed regions, at twice the memory. On a "
            "CPU the autocast of the "
            "code is one for CUDA and does nothing, so that CPU and GPU runs differ in precision."
        ),
        instead="Weights are loaded in the type they are run in (`--dtype`); nothing is cast meanwhile.",
    ),
    9: Pitfall(
        title="The host's clock, and means",
        theirs=(
            "Only the host is timed; garbage collection and whatever else disturbs it are inside; of "
            "several runs the mean "
            "is kept."
        ),
        instead=(
            "Device time on a GPU, the host's beside it; no garbage collection inside a sample; every "
            "sample is kept, and "
            "medians are shown with intervals."
        ),
    ),
    10: Pitfall(
        title="Skipped blocks that are called",
        theirs=(
            "So that hooks fire, a skipped block is called with its forward exchanged for one that "
            "does nothing, made anew "
            "each time. And since prefill starts after block 0, a mask without block 0 times one "
            "block more than a mask of "
            "the same size with it."
        ),
        instead=(
            "A skipped block's turn is a look at a list and a return; what that costs is measured "
            "against the model with "
            "the blocks removed. Phases do not depend on which blocks run."
        ),
    ),
    11: Pitfall(
        title="Masks that change results",
        theirs=(
            "The wrapper's own forward hands a mask of zeros and ones to attention where it should be "
            "an addition: padded "
            "keys are seen, and logits of a padded row were off by 3.2. Skipped blocks fill their "
            "cache with zeros of the "
            "hidden states' shape."
        ),
        instead=(
            "Bit for bit what the model gives with those blocks taken out, tested on 263 "
            "architectures. A skipped block's "
            "cache slot counts tokens and holds none."
        ),
    ),
    12: Pitfall(
        title="Hooks that stay",
        theirs="After an exception the exchanged forward and its hooks stay, and the next call wraps the wrapper.",
        instead="Everything that is changed in a model is undone by a context manager, also after an exception.",
        without_size="It has no size of its own: every later figure is of another model.",
    ),
    13: Pitfall(
        title="No way to run text alone",
        theirs="Without a picture B calls a container of modules, which cannot be called.",
        instead="`--image none`, and text models throughout.",
        without_size="It has none: there is no figure.",
    ),
    14: Pitfall(
        title="Runs of different length",
        theirs=(
            "Runs end at the first end-of-sequence token; times per position are averaged over "
            "however many runs got so "
            "far, and those means again, unweighted."
        ),
        instead="Every sample generates the same number of tokens, whatever they are.",
    ),
    15: Pitfall(
        title="Accuracy and latency from different runs",
        theirs="A second `generate()` is run for the predictions.",
        instead="Nothing but latency is measured.",
        without_size="It doubles the time that a sweep takes, and changes no figure.",
    ),
    16: Pitfall(
        title="The last crop cut off",
        theirs=(
            "The collation keeps 12 crops of 13 (12 and the whole picture): the last one's tokens "
            "keep bare embeddings, and "
            "its vision work is not done."
        ),
        instead="Inputs are those of the checkpoint's processor, with all crops.",
    ),
    17: Pitfall(
        title="Tokens counted twice, or one too many",
        theirs=(
            "B adds the vision tokens to a length that includes them; time per token is decode "
            "divided by all new tokens, "
            "though the first one comes from prefill."
        ),
        instead="Text and vision tokens are counted apart, once; time per token is decode divided by its steps.",
    ),
    18: Pitfall(
        title="One configuration after the other",
        theirs="Configurations run one after the other: a machine that drifts puts its drift into the depth axis.",
        instead="Shuffled rounds over all configurations; clocks, load and temperature are noted between rounds.",
    ),
    19: Pitfall(
        title="Weights that are not there",
        theirs="A safetensors path is read by torch.load, which fails; missing names pass silently.",
        instead="Missing and unexpected weights are errors; safetensors are read as such.",
        without_size="It has no size of its own.",
    ),
}
