"""Numbers, money, days and times, as each language writes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from app.console.language import Language
from app.core.money import decimal_text

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SIGNS = {"CNY": "¥", "USD": "$", "EUR": "€"}


@dataclass(frozen=True, slots=True)
class Formats:
    """Writer of values for one visitor. Times are in the installation's zone."""

    language: Language
    zone: ZoneInfo
    currency: str

    def number(self, count: int) -> str:
        return f"{count:,}"

    def percent(self, percent: float) -> str:
        """Write a part of a hundred with one decimal place; 100 only for all of it."""
        shown = min(round(percent, 1), 99.9) if percent < 100 else 100
        return f"{shown:g}%"

    def seconds(self, ms: int) -> str:
        """Write a duration in milliseconds as seconds with one decimal place: `12.3 s`."""
        return f"{ms / 1000:.1f} {'秒' if self.language == 'zh' else 's'}"

    def bytes(self, count: int) -> str:
        """Write a number of bytes: `20.1 GiB`."""
        size, unit = float(count), "bytes"
        for bigger in ("KiB", "MiB", "GiB", "TiB"):
            if size < 1024:
                break
            size, unit = size / 1024, bigger
        return f"{size:.1f} {unit}" if unit != "bytes" else f"{count} bytes"

    def amount(self, micros: int, places: int = 2) -> str:
        """Write money without its currency, to the last micro that is not zero, and with so many decimal places at least."""
        whole, _, rest = decimal_text(micros).partition(".")
        return f"{'-' if micros < 0 else ''}{abs(int(whole)):,}.{rest.ljust(places, '0')}"

    def places(self, amounts: Sequence[int]) -> int:
        """Return the decimal places with which amounts below each other line up."""
        return max((len(decimal_text(micros).partition(".")[2]) for micros in amounts), default=2)

    def money(self, micros: int) -> str:
        """Write money with its currency: `12.50 CNY`, and in Chinese `¥12.50`."""
        if self.language == "zh" and self.currency in _SIGNS:
            sign = "-" if micros < 0 else ""
            return f"{sign}{_SIGNS[self.currency]}{self.amount(abs(micros))}"
        return f"{self.amount(micros)} {self.currency}"

    def signed(self, micros: int, places: int = 2) -> str:
        """Write a difference, with its sign, without its currency."""
        return f"{'+' if micros > 0 else ''}{self.amount(micros, places)}"

    def signed_money(self, micros: int) -> str:
        """Write a difference, with its sign and its currency."""
        return f"{'+' if micros > 0 else ''}{self.money(micros)}"

    def month(self, month: str) -> str:
        """Write a month like `2026-11`: `Nov 2026`, and in Chinese `2026年11月`."""
        year, number = month.split("-")
        return f"{int(year)}年{int(number)}月" if self.language == "zh" else f"{_MONTHS[int(number) - 1]} {year}"

    def day(self, day: str | date) -> str:
        """Write a day: `29 Nov 2026`, and in Chinese `2026年11月29日`."""
        found = date.fromisoformat(day) if isinstance(day, str) else day
        if self.language == "zh":
            return f"{found.year}年{found.month}月{found.day}日"
        return f"{found.day} {_MONTHS[found.month - 1]} {found.year}"

    def short_day(self, day: str) -> str:
        """Write a day without its year."""
        found = date.fromisoformat(day)
        return f"{found.month}月{found.day}日" if self.language == "zh" else f"{found.day} {_MONTHS[found.month - 1]}"

    def time(self, at_s: int) -> str:
        """Write an instant (Unix seconds) to the minute."""
        at = datetime.fromtimestamp(at_s, UTC).astimezone(self.zone)
        return f"{self.day(at.date())} {at:%H:%M}"

    def clock(self, at_s: int) -> str:
        """Write the time of day of an instant (Unix seconds), to the minute."""
        return f"{datetime.fromtimestamp(at_s, UTC).astimezone(self.zone):%H:%M}"

    def instant(self, at_ms: int) -> str:
        """Write the time of day of an instant (Unix ms), to the millisecond."""
        at = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self.zone)
        return f"{at:%H:%M:%S}.{at_ms % 1000:03d}"

    def date(self, at_s: int) -> str:
        """Write the day of an instant (Unix seconds)."""
        return self.day(datetime.fromtimestamp(at_s, UTC).astimezone(self.zone).date())

    def iso(self, at_s: int) -> str:
        """Write an instant for the `datetime` attribute of HTML."""
        return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
