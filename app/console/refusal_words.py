"""Reasons of refusals in words: what an error code means, and the limit that refused, as the language of the page writes them."""

import re

from app.console.language import Language, translate
from app.console.language import marked as _

REASONS = {
    "insufficient_quota": _("A limit was used up. It resets by itself, or an owner raises it."),
    "rate_limit_exceeded": _("Too many came within a minute, or at once. Programs may try again after a moment."),
    "model_not_allowed": _("This key or project may not use that model. An owner allows it."),
    "model_not_found": _("There is no model of that name here."),
    "model_not_priced": _("The model has no price for this yet, so nothing could be booked. An owner sets one."),
    "unsupported_operation": _("The model does not do this."),
    "permission_denied": _("The key may not do this."),
    "content_policy_violation": _("The provider does not draw this prompt. Other words may help."),
    "moderation_blocked": _("The provider does not draw this prompt. Other words may help."),
    "sensitive_words_detected": _("The relay does not take words of this prompt."),
    "upstream_wallet_empty": _("The gateway's account at the relay is empty. An owner fills it."),
    "upstream_misconfigured": _("The relay does not take the gateway's key. An owner sets a new one."),
    "upstream_model_unavailable": _("The relay does not offer this model now."),
    "upstream_rate_limited": _("The relay was busy. Programs may try again after a moment."),
    "upstream_unreachable": _("The relay could not be reached. Programs may try again after a moment."),
    "upstream_outcome_unknown": _("The relay's answer was lost, so nobody knows whether it was charged."),
    "overloaded": _("The gateway was busy. Programs may try again after a moment."),
    "idempotency_key_reuse": _("The program sent one idempotency key for two different requests."),
}
"""What error codes mean, and what helps. Other codes have the message that the client was told."""
_COUNTED = {
    "spend limit": _("spend limit"),
    "image quota": _("image quota"),
    "request quota": _("request quota"),
    "requests per minute": _("requests per minute"),
    "images per minute": _("images per minute"),
    "limit of concurrent requests": _("limit of concurrent requests"),
}
_INTERVALS = {"daily": _("daily"), "weekly": _("weekly"), "monthly": _("monthly"), "lifetime": _("lifetime")}
_SCOPES = {
    "organization": _("the organization"),
    "project": _("project {name}"),
    "user": _("person {name}"),
    "key": _("key {name}"),
}
_LABEL = re.compile(
    rf"(?:default )?(?:(?P<interval>{'|'.join(_INTERVALS)}) )?(?P<counted>{'|'.join(_COUNTED)}) of "
    rf"(?P<scope>{'|'.join(_SCOPES)})(?: (?P<name>.*?))?(?: for (?P<model>\S+))?",
    re.DOTALL,
)


def limit_in_words(language: Language, label: str) -> str:
    """Write the label of a limit (`Limit.label`) in a language; one of another form as it is."""
    found = _LABEL.fullmatch(label)
    if found is None:
        return label
    interval, counted = found["interval"], translate(language, _COUNTED[found["counted"]])
    values = {"limit": counted, "scope": translate(language, _SCOPES[found["scope"]], name=found["name"] or "")}
    if interval is None:
        text = translate(language, _("{limit} of {scope}"), **values)
    else:
        values["interval"] = translate(language, _INTERVALS[interval])
        text = translate(language, _("{interval} {limit} of {scope}"), **values)
    return (
        text
        if found["model"] is None
        else translate(language, _("{limit} for {model}"), limit=text, model=found["model"])
    )
