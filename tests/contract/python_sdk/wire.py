"""Fields that pass to the relay and those that do not; headers of answers."""

import json

from tests.contract.python_sdk.bench import FLUX, Bench, check, same

SENT_TO_THE_RELAY = {
    *("host", "authorization", "content-type", "content-length", "accept", "accept-encoding"),
    *("user-agent", "x-request-id"),
}


@check()
def fields_of_extra_body_reach_the_relay_exactly_as_sent(bench: Bench) -> None:
    extra = {"seed": 7, "aspect_ratio": "16:9", "guidance_scale": 2.50, "watermark": False, "种子": {"a": [1, "二"]}}

    bench.generate(model=FLUX, extra_body=extra)

    sent = json.loads(bench.seen_once()["body"])
    same({name: sent[name] for name in extra}, extra)
    same({type(sent["seed"]), type(sent["watermark"])}, {int, bool})
    same(set(sent), {"model", "prompt", *extra})


@check()
def fields_of_extra_body_reach_the_relay_with_an_edit(bench: Bench) -> None:
    bench.edit(model=FLUX, extra_body={"seed": 7, "aspect_ratio": "16:9", "guidance_scale": 2.5})

    fields = bench.seen_once()["fields"]
    same((fields["seed"], fields["aspect_ratio"], fields["guidance_scale"]), ("7", "16:9", "2.5"))


@check()
def fields_that_name_a_destination_do_not_reach_the_relay(bench: Bench) -> None:
    bench.generate(model=FLUX, extra_body={"base_url": "http://127.0.0.1:9", "api_key": "sk-other", "seed": 1})

    same(set(json.loads(bench.seen_once()["body"])), {"model", "prompt", "seed"})


@check()
def no_header_of_the_client_reaches_the_relay(bench: Bench) -> None:
    client = bench.client(organization="org-ours", project="proj-ours", default_headers={"X-Ours": "ours"})

    client.images.generate(prompt=bench.prompt(), user="somebody")
    client.images.edit(prompt=bench.prompt(), image=bench.pictures["png"])

    for seen in bench.seen():
        headers = seen["headers"]
        same(set(headers) - SENT_TO_THE_RELAY, set())
        told = " ".join(headers.values())
        assert bench.keys["good"] not in told
        assert "OpenAI/" not in told
        same(headers["accept-encoding"], "identity")
    same(len(bench.seen()), 2)


@check()
def query_parameters_of_the_client_do_not_reach_the_relay(bench: Bench) -> None:
    bench.generate(extra_query={"api-version": "2024-02-01"})

    same(bench.seen_once()["query"], "")


@check()
def the_headers_tell_cost_currency_and_the_request_id(bench: Bench) -> None:
    raw = bench.client().images.with_raw_response.generate(model=FLUX, prompt=bench.prompt())
    answer = raw.parse()

    same((raw.headers["x-imagegate-cost"], raw.headers["x-imagegate-currency"]), ("0.20", "CNY"))
    same(raw.headers["x-request-id"], answer._request_id)
    assert answer._request_id.startswith("req_")
    assert raw.headers["openai-processing-ms"].isdecimal()
    assert "x-imagegate-spend-remaining" not in raw.headers  # This key has no limit.
    same([name for name in raw.headers if name.startswith(("x-oneapi", "x-new-api", "openai-version"))], [])


@check()
def the_headers_tell_what_is_left_of_the_limits(bench: Bench) -> None:
    raw = bench.client("allowance").images.with_raw_response.generate(model=FLUX, prompt=bench.prompt(), n=2)

    headers = raw.headers
    same((headers["x-imagegate-spend-remaining"], headers["x-imagegate-images-remaining"]), ("99.60", "48"))
    same((headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]), ("30", "29"))
    same((headers["x-ratelimit-limit-images"], headers["x-ratelimit-remaining-images"]), ("40", "38"))
    assert headers["x-ratelimit-reset-requests"].endswith("s")


@check()
def a_streaming_response_is_read_like_any_other(bench: Bench) -> None:
    with bench.client().images.with_streaming_response.generate(prompt=bench.prompt()) as response:
        same(response.headers["x-imagegate-cost"], "1.00")
        same(len(response.parse().data), 1)
