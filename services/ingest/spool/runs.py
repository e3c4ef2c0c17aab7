"""A set of ids as runs of consecutive ones: small, however many they are. Pure."""

from bisect import bisect_right


class Runs:
    """Sorted and never adjacent: adjacent runs are joined."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __contains__(self, number: int) -> bool:
        return self.last_of(number) is not None

    def last_of(self, number: int) -> int | None:
        """The last id of the run that holds this one; null if none does."""
        at = bisect_right(self._firsts, number) - 1
        return self._lasts[at] if at >= 0 and number <= self._lasts[at] else None

    def add(self, number: int) -> None:
        if number in self:
            return
        at = bisect_right(self._firsts, number)
        follows = at > 0 and self._lasts[at - 1] == number - 1
        leads = at < len(self._firsts) and self._firsts[at] == number + 1
        match follows, leads:
            case True, True:
                self._lasts[at - 1] = self._lasts.pop(at)
                del self._firsts[at]
            case True, False:
                self._lasts[at - 1] = number
            case False, True:
                self._firsts[at] = number
            case _:
                self._firsts.insert(at, number)
                self._lasts.insert(at, number)

    def first(self, most: int) -> list[tuple[int, int]]:
        """First and last ids of the lowest runs, covering at most so many ids."""
        found: list[tuple[int, int]] = []
        for first, last in zip(self._firsts, self._lasts, strict=True):
            if most <= 0:
                break
            found.append((first, min(last, first + most - 1)))
            most -= found[-1][1] - first + 1
        return found

    def drop(self, until: int) -> None:
        """Remove the ids up to this one."""
        gone = bisect_right(self._lasts, until)
        del self._firsts[:gone], self._lasts[:gone]
        if self._firsts and self._firsts[0] <= until:
            self._firsts[0] = until + 1
