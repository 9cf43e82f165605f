"""Weekly note to a person: what they spent, and for owners what the whole organization did. Texts in English and Chinese."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from app.core.intervals import local_day
from app.core.money import decimal_text


@dataclass(frozen=True, slots=True)
class DearestRequest:
    """Request that cost most; `reserved_at_ms` in Unix ms."""

    id: str
    model: str
    size: str | None
    cost_micros: int
    reserved_at_ms: int


@dataclass(frozen=True, slots=True)
class UnusualHour:
    """Hour (its start in Unix ms) in which a person spent more than in 95 of 100 of their hours before; `usual_micros` is that
    bound."""

    name: str
    hour_at_ms: int
    cost_micros: int
    usual_micros: int


@dataclass(frozen=True, slots=True)
class OrganizationWeek:
    """Facts for owners, in micros. `month_micros` was spent since the month began, of which `month_share` (0 to 1) has passed;
    `limit_micros` is the organization's monthly limit, if there is one. `drift_micros` is the relay's bill minus the book, of the
    days of the week that were measured; None for none."""

    cost_micros: int
    month_micros: int
    month_share: float
    limit_micros: int | None
    unusual: tuple[UnusualHour, ...]
    drift_micros: int | None


@dataclass(frozen=True, slots=True)
class PersonWeek:
    """Facts of a person's local days `first` to `last`, in micros. `left_micros` is what their monthly spend limit leaves until
    `resets` (a day), None without such a limit. `avoided` requests were served what the person had bought before; `repeated` were
    bought again, for `repeated_micros`."""

    first: str
    last: str
    requests: int
    images: int
    cost_micros: int
    left_micros: int | None
    resets: str
    dearest: DearestRequest | None
    avoided: int
    repeated: int
    repeated_micros: int


TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "imagegate: your week, {first} to {last}",
        "spent": "You spent {cost} {currency} on {images} images in {requests} requests.",
        "nothing": "You bought nothing.",
        "left": "Until {resets} you have {left} {currency} left.",
        "no_limit": "There is no monthly spend limit of your own.",
        "dearest": "The dearest request: {cost} {currency}, {model} {size}, on {day} ({id}).",
        "avoided": "{count} equal requests were answered with what you had bought before, for nothing.",
        "repeated": "{count} requests asked for what you had bought before, and cost {cost} {currency}.",
        "everybody": "Everybody together spent {cost} {currency}.",
        "pace": "This month: {month} {currency}; at this pace {end} {currency} at its end.",
        "limit": "The limit of the month is {limit} {currency}; a fair share of it by now would be {fair} {currency}.",
        "unusual": "Unusual: {name} spent {cost} {currency} on {day} from {hour}; 95 of 100 hours with usage in the thirty days "
        "before stayed within {usual} {currency}.",
        "usual": "No hour of anybody was unusual.",
        "drift": "The relay billed {drift} {currency} against the book in this week.",
        "no_drift": "The relay billed what the book says.",
        "unmeasured": "The relay's bill of this week is not known.",
        "more": "More: {address}",
        "off": "You can turn this note off on the page of your account.",
    },
    "zh": {
        "title": "imagegate：你的一周，{first} 至 {last}",
        "spent": "你花费 {cost} {currency}，{requests} 个请求，{images} 张图片。",
        "nothing": "你没有消费。",
        "left": "在 {resets} 之前还可用 {left} {currency}。",
        "no_limit": "你个人没有每月消费限额。",
        "dearest": "最贵的请求：{cost} {currency}，{model} {size}，{day}（{id}）。",
        "avoided": "{count} 个相同的请求直接用了你之前买过的结果，没有花费。",
        "repeated": "{count} 个请求重复购买了已有的内容，花费 {cost} {currency}。",
        "everybody": "全体共花费 {cost} {currency}。",
        "pace": "本月已花费 {month} {currency}；照此速度，月底为 {end} {currency}。",
        "limit": "本月限额为 {limit} {currency}；按进度，目前应在 {fair} {currency} 以内。",
        "unusual": "异常：{name} 在 {day} {hour} 起的一小时花费 {cost} {currency}；"
        "此前三十天里，有用量的小时中 95% 不超过 {usual} {currency}。",
        "usual": "没有人出现异常的小时。",
        "drift": "本周中转站账单与账本相差 {drift} {currency}。",
        "no_drift": "本周中转站账单与账本一致。",
        "unmeasured": "本周的中转站账单未知。",
        "more": "详情：{address}",
        "off": "可以在“我的账户”页面关闭此周报。",
    },
}
"""Sentences by language and name."""


def note_text(
    language: str,
    person: PersonWeek,
    organization: OrganizationWeek | None,
    currency: str,
    zone: ZoneInfo,
    address: str | None,
) -> tuple[str, str]:
    """Return title and text of a note. `address` is that of the page with more, where it is known."""
    texts = TEXTS[language]
    lines = _of_person(texts, person, currency, zone)
    if organization is not None:
        lines += ["", *_of_organization(texts, organization, currency, zone)]
    if address is not None:
        lines += ["", texts["more"].format(address=address)]
    lines += ["", texts["off"]]
    return texts["title"].format(first=person.first, last=person.last), "\n".join(lines) + "\n"


def _of_person(texts: Mapping[str, str], week: PersonWeek, currency: str, zone: ZoneInfo) -> list[str]:
    def say(sentence: str, **values: object) -> str:
        return texts[sentence].format(currency=currency, **values)

    cost = decimal_text(week.cost_micros)
    spent = say("spent", cost=cost, images=week.images, requests=week.requests) if week.requests else say("nothing")
    left = week.left_micros
    lines = [spent, say("no_limit") if left is None else say("left", left=decimal_text(left), resets=week.resets)]
    if (dearest := week.dearest) is not None:
        day, size = local_day(dearest.reserved_at_ms, zone), dearest.size or ""
        cost = decimal_text(dearest.cost_micros)
        lines.append(say("dearest", cost=cost, model=dearest.model, size=size, day=day, id=dearest.id))
    lines += [say("avoided", count=week.avoided)] * bool(week.avoided)
    again = say("repeated", count=week.repeated, cost=decimal_text(week.repeated_micros))
    return [*lines, *[again] * bool(week.repeated)]


def _of_organization(texts: Mapping[str, str], week: OrganizationWeek, currency: str, zone: ZoneInfo) -> list[str]:
    def say(sentence: str, **values: object) -> str:
        return texts[sentence].format(currency=currency, **values)

    end = decimal_text(_to_hundredths(int(week.month_micros / week.month_share)))
    lines = [say("everybody", cost=decimal_text(week.cost_micros))]
    lines.append(say("pace", month=decimal_text(week.month_micros), end=end))
    if week.limit_micros is not None:
        fair = decimal_text(_to_hundredths(int(week.limit_micros * week.month_share)))
        lines.append(say("limit", limit=decimal_text(week.limit_micros), fair=fair))
    for each in week.unusual:
        at = datetime.fromtimestamp(each.hour_at_ms / 1000, UTC).astimezone(zone)
        amounts = {"cost": decimal_text(each.cost_micros), "usual": decimal_text(each.usual_micros)}
        lines.append(say("unusual", name=each.name, day=at.date().isoformat(), hour=f"{at:%H:%M}", **amounts))
    lines += [] if week.unusual else [say("usual")]
    if week.drift_micros is None:
        return [*lines, say("unmeasured")]
    sign = "+" if week.drift_micros > 0 else ""
    drift = say("drift", drift=f"{sign}{decimal_text(week.drift_micros)}") if week.drift_micros else say("no_drift")
    return [*lines, drift]


def _to_hundredths(micros: int) -> int:
    return micros // 10_000 * 10_000
