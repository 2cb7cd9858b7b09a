"""What the reader should know about how a run went, as sentences."""

from collections.abc import Sequence

from maskprof.results.circumstances import Finding


def sentence(finding: Finding) -> str:
    """`Load: other processes kept 1.3 of 2 processors busy meanwhile (measure when nothing else runs).`"""
    text = f"{finding.topic[0].upper()}{finding.topic[1:]}: {finding.text}"
    return f"{text} ({finding.advice})." if finding.advice else f"{text}."


def sentences(findings: Sequence[Finding]) -> tuple[str, ...]:
    """One for each."""
    return tuple(map(sentence, findings))
