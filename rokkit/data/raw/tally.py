"""What a reader dropped or repaired, counted: nothing is lost in silence."""

from collections import Counter


class Tally:
    """Rows read; rows dropped, by reason; rows repaired or odd but kept, by what it was."""

    def __init__(self) -> None:
        self.rows = 0  # read, those that are dropped included
        self._dropped: Counter[str] = Counter()
        self._repaired: Counter[str] = Counter()

    def drop(self, reason: str, rows: int) -> None:
        """Count rows that are left out."""
        self._dropped[reason] += rows

    def repair(self, what: str, rows: int) -> None:
        """Count rows that were repaired, or that are odd and kept as they are."""
        self._repaired[what] += rows

    @property
    def dropped(self) -> tuple[tuple[str, int], ...]:
        """(reason, rows), where there are any."""
        return tuple((reason, n) for reason, n in self._dropped.items() if n)

    @property
    def repaired(self) -> tuple[tuple[str, int], ...]:
        """(what, rows), where there are any."""
        return tuple((what, n) for what, n in self._repaired.items() if n)
