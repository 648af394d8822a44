"""A campaign's tables as Markdown."""

from collections.abc import Sequence

from agns.campaign.curves import CURVE_HEAD, curve_row
from agns.campaign.findings import Findings
from agns.writing import in_markdown


def as_markdown(findings: Findings) -> str:
    """What speaks against the figures, the tables, and what failed and why."""
    parts = [
        _listed(findings.weaknesses),
        _success(findings) if findings.lines else "",
        _curves(findings),
        _transfers(findings),
        _failures(findings),
    ]
    return "\n".join(part for part in parts if part)


def _success(findings: Findings) -> str:
    head = (
        "| recogniser | goal | attack | attacks | met the stop value | published | craft success "
        "| held-out success | 95 % interval | of those recognised | benign frames | D score "
        "| nearest real | median seconds | differs from the first by chance |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    )
    caption = (
        "\n\"Met the stop value\": the best frame's mean probability over the attack's own photos "
        "did. Published figures are of attacks on their own photos too; their "
        "criterion may be another.\n"
    )
    return (
        head
        + "".join(
            f"| {in_markdown(one.recognizer)} | {one.goal} | {in_markdown(one.attack)} "
            f"| {one.done} of {one.planned} "
            f"| {one.met_stop_value / one.done:.0%} "
            f"({one.met_interval[0]:.0%} to {one.met_interval[1]:.0%}) "
            f"| {'-' if one.published is None else f'{one.published:.0%}'} "
            f"| {one.craft_success:.0%} | {one.held_out_success:.1%} "
            f"| {one.held_out_interval[0]:.0%} to {one.held_out_interval[1]:.0%} "
            f"| {'-' if one.recognized_success is None else f'{one.recognized_success:.0%}'} "
            f"| {one.benign_success:.0%} | {one.discriminator_score:.3f} | {one.nearest_real:.3f} "
            f"| {one.seconds:.1f} "
            f"| {'-' if one.against_first is None else f'{one.against_first:.3f}'} |\n"
            for one in findings.lines
        )
        + caption
    )


def _curves(findings: Findings) -> str:
    if not findings.curves:
        return ""
    rows = [list(map(in_markdown, curve_row(one))) for one in findings.curves]
    table = [CURVE_HEAD, ["---"] * len(CURVE_HEAD), *rows]
    return (
        "Frames for many subjects, one picked by each on other photos; success among held-out "
        "photos recognised without a frame:\n\n"
        + "".join(f"| {' | '.join(row)} |\n" for row in table)
    )


def _transfers(findings: Findings) -> str:
    if not findings.transfers:
        return ""
    head = (
        "Frames on recognisers that they were not made against:\n\n"
        "| goal | attack | made against | scored on | subjects | success | 95 % interval "
        "| photographed | benign frames | no frame |\n|---|---|---|---|---|---|---|---|---|---|\n"
    )
    return head + "".join(
        f"| {one.goal} | {in_markdown(one.attack)} | {in_markdown(one.made_against)} "
        f"| {in_markdown(one.scored_on)} | {one.subjects} "
        f"| {one.digital:.1%} | {one.digital_interval[0]:.0%} to {one.digital_interval[1]:.0%} "
        f"| {one.photographed:.1%} | {one.benign:.1%} | {one.bare:.1%} |\n"
        for one in findings.transfers
    )


def _failures(findings: Findings) -> str:
    if not findings.failures and not findings.unscored:
        return ""
    failed = [
        f"{row.cell.recognizer}: {row.cell.title}, seed {row.cell.seed}: {row.sentence}"
        for row in findings.failures
    ]
    unscored = [
        f"{row.cell.recognizer} on {row.victim}: {row.cell.title}, seed {row.cell.seed}: "
        f"{row.sentence}"
        for row in findings.unscored
    ]
    return "Without a result:\n\n" + _listed([*failed, *unscored])


def _listed(sentences: Sequence[str]) -> str:
    return "".join(f"- {in_markdown(sentence)}\n" for sentence in sentences)
