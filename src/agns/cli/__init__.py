"""The command line: flags, progress bars, and the only printing."""

import sys


def main() -> None:
    """Run the command line; the exit code is 0, 1 for failure, 2 for misuse, 130 for Ctrl-C."""
    from agns.cli.app import app
    from agns.errors import AgnsError

    try:
        app()
    except SystemExit as error:
        # Typer turns Ctrl-C into an exit without a word.
        if isinstance(getattr(error.__context__, "__cause__", None), KeyboardInterrupt):
            _complain("interrupted")
        raise
    except AgnsError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _complain("interrupted")
        sys.exit(130)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _complain(f"{error.strerror or error}{where}")
        sys.exit(1)
    except Exception as error:
        # By name: importing sqlite3 would slow each command.
        if type(error).__module__ != "sqlite3":
            raise
        _complain(f"the campaign's ledger cannot be used: {error}")
        sys.exit(1)


def _complain(sentence: str) -> None:
    sys.stderr.write(f"agns: {sentence}\n")
