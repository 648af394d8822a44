"""A run as the page shows it: live while it runs, and what it was worth at the end."""

from collections.abc import Sequence

from agns.campaign.records import read_attack_score
from agns.cli.attack_tables import how_it_ended, score_tables
from agns.errors import AgnsError
from agns.evaluation.score import AttackScore
from agns.images import read_image
from agns.storage import read_json
from agns.studio import markup
from agns.studio.runs import Run, Runs

_PICTURES = (
    ("before_after.png", "Held-out photos without and with the frame, and who is seen in them"),
    ("history.png", "The attack step by step"),
)


def title_of(run: Run) -> str:
    """Who does what, and when it was begun, as one line."""
    asked = run.request
    aim = "dodges" if asked.target is None else f"as {asked.target}"
    begun = run.name.split("-")
    day, clock = begun[1], begun[2]
    when = f"{day[:4]}-{day[4:6]}-{day[6:]} {clock[:2]}:{clock[2:4]}:{clock[4:]}"
    return f"{asked.subject} {aim}, {asked.method}, {when}".replace("_", " ")


def show_run(runs: Runs, run: Run) -> tuple[str, bool]:
    """A run as HTML, and whether it goes on."""
    state, sentence = runs.state(run)
    parts = [markup.heading(title_of(run))]
    if state == "running":
        return "".join([*parts, _live(run)]), True
    if state != "done":
        parts.append(markup.refusal(f"There is no result: {sentence}"))
        return "".join([*parts, _repeat(run)]), False
    try:
        score = read_attack_score(read_json(run.result / "result.json"), "the run's result")
        parts += _scored(run, score)
    except AgnsError as error:
        parts.append(markup.refusal(str(error)))
    return "".join([*parts, _repeat(run)]), False


def _live(run: Run) -> str:
    progress = run.progress
    phase = str(progress.get("phase", "Starting"))
    done, total = (int(str(progress.get(name) or 0)) for name in ("done", "total"))
    counted = f", step {done} of {total}" if total else ""
    bar = f'value="{done}" max="{total}"' if total else ""
    parts = [
        f'<p role="status">{phase}{counted}.</p><progress aria-label="{phase}" {bar}></progress>'
    ]
    shown = progress.get("shown")
    beside = []
    if isinstance(shown, list) and (run.folder / "live.png").is_file():
        asked = run.request
        face = read_image(run.folder / "live.png")
        beside.append(
            markup.picture(
                face,
                "The face that the recogniser was shown last, wearing the current frame",
                caption="What the recogniser was shown last",
                scale=1.25,
            )
        )
        beside.append(
            "<div>" + markup.bars([(str(name), float(value)) for name, value in shown],
                                  marked=asked.target or asked.subject)
            + "</div>"
        )  # fmt: skip
    beside.append(_curves(run, progress, total))
    return "".join([*parts, markup.row(beside)])


def _curves(run: Run, progress: dict[str, object], total: int) -> str:
    curve = progress.get("curve")
    if not isinstance(curve, list) or len(curve) < 2:
        return ""
    asked = run.request

    def points(place: int) -> list[tuple[float, float]]:
        return [(row[0], row[place]) for row in curve if row[place] is not None]

    who = (asked.target or asked.subject).replace("_", " ")
    stop = progress.get("stop")
    lines = [("this step", points(1)), ("best frame", points(2))]
    return markup.curves(
        [line for line in lines if line[1]], steps=max(total, int(curve[-1][0])),
        stop=stop if isinstance(stop, float) else None,
        title=f"The probability of {who} over the steps",
    )  # fmt: skip


def _scored(run: Run, score: AttackScore) -> Sequence[str]:
    tables = score_tables(score)
    parts = [
        f'<p class="verdict">{markup.escaped(score.summary())}</p>',
        markup.warnings(score.warnings),
        markup.words(how_it_ended(score)),
        tables[0].as_html(),
    ]
    parts += [
        markup.picture(read_image(run.result / name), words, caption=words)
        for name, words in _PICTURES
        if (run.result / name).is_file()
    ]
    frame = read_image(run.result / "frame.png")
    parts.append(markup.frame(frame, "The best frame", caption="The best frame", scale=2))
    parts += [table.as_html() for table in tables[1:]]
    return parts


def _repeat(run: Run) -> str:
    return (
        f'<p><a class="button" href="runs/{run.name}.zip" download>Download the run (zip)</a></p>'
        f"<p>The same at a terminal:</p>{markup.command(run.command)}"
    )
