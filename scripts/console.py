"""How scripts talk: an error in one line, a line among progress bars, a bar on a terminal."""

import sys


def fail(message: str):
    """Say what is wrong in one line and end: exit code 2 is the user's mistake."""
    print("error: " + " ".join(str(message).split()), file=sys.stderr)
    sys.exit(2)


def say(text: str) -> None:
    """A line that no progress bar overwrites."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def bar(total, initial, label):
    """As training.Desk has it; drawn on a terminal alone."""
    from tqdm import tqdm

    look = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
    style = {"leave": False, "disable": None, "bar_format": look}
    return tqdm(total=total, initial=initial, desc=label, **style)
