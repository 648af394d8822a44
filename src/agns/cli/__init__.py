"""The command line: flags, progress bars, and the only printing."""

import sys

from agns.cli import interrupts


def main() -> None:
    """Run the command line and leave with its exit code.

    It is 0, 1 for failure, 2 for misuse, 130 after Ctrl-C, 143 after SIGTERM.
    """
    from agns.cli.console import accept_every_name, say
    from agns.errors import AgnsError

    def complain(sentence: str) -> None:
        say(f"agns: {sentence}", aside=True)

    accept_every_name()
    try:
        interrupts.interruptible(_run)
    except SystemExit as error:
        # Typer turns Ctrl-C into an exit without a word.
        if isinstance(getattr(error.__context__, "__cause__", None), KeyboardInterrupt):
            complain(interrupts.how())
        if error.code == 130:
            sys.exit(interrupts.exit_code())
        raise
    except AgnsError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        complain(interrupts.how())
        sys.exit(interrupts.exit_code())
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        complain(f"{error.strerror or error}{where}")
        sys.exit(1)
    except Exception as error:
        if interrupts.interrupted():
            # Processes that worked together lose each other.
            complain(f"{interrupts.how()} ({type(error).__name__}: {error})")
            sys.exit(interrupts.exit_code())
        # By name: importing sqlite3 would slow each command.
        if type(error).__module__ != "sqlite3":
            raise
        complain(f"the campaign's ledger cannot be used: {error}")
        sys.exit(1)


def _run() -> None:
    from agns.cli.app import app

    app()
