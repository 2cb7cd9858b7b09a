"""What each section says on how to read it."""

LATENCY = (
    (
        "Each mark is the median of one configuration; its whisker is the median's 95 % interval, often "
        "smaller than the mark."
    ),
)
IDEAL = (
    (
        "The dashed line is the ideal: the full model's latency times the share of active blocks. What lies between "
        "the two is time that no mask can save."
    ),
)
KNOBS = (
    (
        "From the largest depth and the largest value measured, by a fit over both: what half the blocks, "
        "half of the knob, and half of both save. Where both save less than the sum, they save some of the "
        "same time."
    ),
)
BLOCKS = (
    (
        "From the traces, with the recording's own cost subtracted. A row is a configuration, a cell a block: the "
        "stronger its colour, the more time; a stroke is a skipped block. Choose a cell to open its configuration."
    ),
    (
        "Traced runs are slower than clean ones, since every operator is recorded: compare blocks with each other, and "
        "take latencies from the section above."
    ),
)
SOME_BLOCKS = (
    "Below, {shown} of the {all} configurations are shown block by block, evenly chosen, so that the page stays small; "
    "attribution.json has all of them."
)
GPU = ("From the traces, over a whole traced pass; what bounds each configuration is said below.",)
ROOFLINE = (
    (
        "In the rooflines, an operator far under the roof leaves something to gain; under the slope it is bound by "
        "memory, under the flat part by arithmetic."
    ),
)
NO_ROOFLINE = ("There is no roofline: it needs the shapes of operators, which these traces do not have.",)
SKIPPING = (
    (
        "Clean is latency under the mask minus latency of the same model with those blocks removed, paired "
        "by round, without any instrument; an interval that holds zero says that the cost is below what "
        "this run can tell. Traced is the sum of the skipped blocks' turns in the trace, an upper bound. "
        "Where they disagree, believe the clean one."
    ),
)
SAMPLES = (
    (
        "Every sample's distance from the median of its own configuration. Configurations are measured in "
        "shuffled rounds, so a slope or a step here is the machine's, and hits all configurations alike."
    ),
    (
        "In the tables each configuration's samples run from left to right; the line is the median, the "
        "band its interval. Drift is the last third's median against the first third's."
    ),
)
FAILURES = ("What could not be measured or traced; everything else on this page stands without it.",)
COMPARISON = (
    (
        "A line for each run, over the number of active blocks; whiskers are the 95 % intervals of the "
        "medians, dashed lines each run's own ideal. Runs of different sessions differ by the machine's "
        "state as well."
    ),
)
