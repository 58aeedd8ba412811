"""The cost calculator: its examples to the digit, its identities, the price sheet, hosted prices and savings."""

import datetime as dt
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from inferaudit.cli.cost import app
from inferaudit.cost import FORMULAS, CostFigures, cost_figures, cost_section, traffic_of
from inferaudit.errors import UsageError
from inferaudit.policy import Cost, OwnPrice
from inferaudit.prices import chosen_price, gpu_name, gpu_prices, hosted_prices, price_sheet
from inferaudit.savings import combined, levers, savings_section, spot_factor

money = st.floats(0.01, 1000)
rates = st.floats(0.01, 100_000)
shares = st.floats(0, 1)
BENCHMARK = {
    "request_rate": 10.0,
    "token_rate": 640.0,
    "goodput": 8.0,
    "requests": {"ok": 1000},
    "tokens": {"input": 128_000, "output": 64_000},
    "knee": {"rate": 16.0},
}
DAY = "2026-11-20T12:00:00Z"


def section(cost: Cost | None = None, **over: Any) -> dict[str, Any]:
    given_: dict[str, Any] = {
        "cost": cost or Cost(hourly_usd=3.6),
        "gpus": 2,
        "products": ["NVIDIA H100 80GB HBM3"],
        "models": ["meta-llama/Llama-3.1-8B-Instruct"],
        "benchmark": BENCHMARK,
        "collected_at": DAY,
    }
    return cost_section(**{**given_, **over})


@pytest.mark.parametrize(
    ("hourly", "gpus", "rate", "each", "million", "month"),
    [
        (1.01, 2, 500, "$0.000001", "$1.12", "$1,475"),
        (3.67, 4, 10, "$0.000408", "$407.78", "$10,716"),
        (1.10, 4, 10, "$0.000122", "$122.22", "$3,212"),
    ],
)
def test_the_examples_to_the_digit(hourly: float, gpus: int, rate: float, each: str, million: str, month: str) -> None:
    figures = cost_figures(hourly_usd=hourly, gpus=gpus, rate_per_s=rate)
    assert f"${figures.per_request_usd:.6f}" == each
    assert f"${figures.per_million_usd:,.2f}" == million
    assert f"${figures.monthly_usd:,.0f}" == month
    done = CliRunner().invoke(app, ["--hourly", str(hourly), "--gpus", str(gpus), "--rate", str(rate)])
    assert done.exit_code == 0
    assert all(text in done.stdout for text in (each, million, month))


@given(money, st.integers(1, 512), rates, st.floats(0.01, 1), rates, rates)
def test_identities(hourly: float, gpus: int, rate: float, use: float, output: float, given_: float) -> None:
    figures = cost_figures(
        hourly_usd=hourly,
        gpus=gpus,
        rate_per_s=rate,
        utilisation=use,
        tokens_per_s=output,
        input_tokens_per_s=given_,
        goodput_per_s=rate / 2,
    )
    per_second = hourly * gpus / 3600
    assert figures.per_request_usd * rate == pytest.approx(per_second)
    assert figures.requests_per_usd * figures.per_request_usd == pytest.approx(1)
    assert figures.per_million_usd == pytest.approx(figures.per_request_usd * 1_000_000)
    assert figures.monthly_usd == pytest.approx(per_second * 730 * 3600)
    assert figures.effective_per_request_usd * use == pytest.approx(figures.per_request_usd)
    assert figures.per_good_request_usd == pytest.approx(2 * figures.per_request_usd)
    out, into, both = (
        figures.per_1000_tokens_usd,
        figures.per_1000_input_tokens_usd,
        figures.per_1000_all_tokens_usd,
    )
    assert out is not None
    assert into is not None
    assert both is not None
    # All of the cost, spread over more tokens, is less a token; the shares add up like conductances.
    assert 1 / both == pytest.approx(1 / out + 1 / into)


@given(money, st.integers(1, 64), rates, st.integers(2, 8))
def test_cost_scales_with_gpus_and_against_rate(hourly: float, gpus: int, rate: float, times: int) -> None:
    one = cost_figures(hourly_usd=hourly, gpus=gpus, rate_per_s=rate)
    more = cost_figures(hourly_usd=hourly, gpus=gpus * times, rate_per_s=rate * times)
    assert more.per_request_usd == pytest.approx(one.per_request_usd)
    assert more.monthly_usd == pytest.approx(one.monthly_usd * times)


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: value} for name in ("hourly_usd", "rate_per_s") for value in (0, -1, math.nan, math.inf)),
        *({"utilisation": value} for value in (0, 1.1, math.nan)),
        *(
            {name: value}
            for name in ("tokens_per_s", "input_tokens_per_s", "goodput_per_s")
            for value in (-1, math.nan)
        ),
        {"gpus": 0},
    ],
)
def test_what_has_no_cost(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        cost_figures(**{"hourly_usd": 1.0, "gpus": 1, "rate_per_s": 1.0, **wrong})  # type: ignore[arg-type]


def test_every_figure_has_its_formula() -> None:
    assert set(CostFigures.__dataclass_fields__) <= set(FORMULAS)


def test_the_section_computes_from_what_was_measured() -> None:
    cost = section()
    assert cost["reason"] is None
    assert cost["per_request_usd"] == pytest.approx(3.6 * 2 / 3600 / 10)
    assert cost["per_good_request_usd"] == pytest.approx(3.6 * 2 / 3600 / 8)
    assert cost["inputs"]["input_tokens_per_s"] == pytest.approx(1280)
    assert cost["per_1000_input_tokens_usd"] == pytest.approx(3.6 * 2 / 3600 / 1280 * 1000)
    assert cost["price"] is None


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"cost": Cost()}, "price of a GPU-hour"),
        ({"gpus": None}, "number of GPUs"),
        ({"benchmark": None}, "measured request rate"),
        ({"cost": Cost(cloud="nowhere")}, "no cloud 'nowhere'"),
        ({"cost": Cost(cloud="modal"), "products": ["NVIDIA H200"]}, "NVIDIA H200 at modal"),
        ({"cost": Cost(cloud="aws"), "products": []}, "one GPU product"),
        ({"cost": Cost(cloud="aws"), "products": ["NVIDIA H200", "NVIDIA L4"]}, "one kind of GPU"),
    ],
)
def test_nothing_is_computed_out_of_nothing(over: dict[str, Any], said: str) -> None:
    cost = section(**over)
    assert said in cost["reason"]
    assert cost["per_request_usd"] is None
    assert cost["per_million_usd"] is None
    assert cost["savings"]["per_million_usd"] is None


def test_a_rate_that_the_client_set_is_not_the_services() -> None:
    cost = section(benchmark={**BENCHMARK, "client": {"falsifies": ["request_rate"]}})
    assert cost["per_request_usd"] is None
    assert "the client was the bottleneck" in cost["reason"]
    assert section(benchmark={**BENCHMARK, "client": {"falsifies": ["itl_ms"]}})["per_request_usd"] is not None


def test_without_goodput_there_is_no_cost_of_a_good_request() -> None:
    """No objective: null. None of the requests met it: null as well, for no sum is enough."""
    for goodput in (None, 0.0):
        assert section(benchmark={**BENCHMARK, "goodput": goodput})["per_good_request_usd"] is None


def test_tokens_that_were_not_counted_cost_nothing_known() -> None:
    traffic = traffic_of({**BENCHMARK, "token_rate": None, "tokens": {"input": None, "output": None}})
    assert (traffic.input_tokens_per_s, traffic.output_tokens_per_s) == (None, None)
    cost = section(benchmark={**BENCHMARK, "token_rate": None, "tokens": {}})
    assert cost["per_1000_tokens_usd"] is None
    assert cost["hosted"][0]["per_request_usd"] is None


def test_the_sheet_says_when_and_where_each_figure_was_read() -> None:
    sheet = price_sheet()
    for price in (*sheet.gpu_hours, *sheet.hosted):
        assert dt.date(2026, 1, 1) <= price.date
        assert price.source.startswith("https://")
    assert {p.gpu for p in sheet.gpu_hours} <= set(sheet.products)
    assert all(0.1 < p.usd < 50 for p in sheet.gpu_hours)
    keys = [(p.cloud, p.gpu, p.kind, p.region) for p in sheet.gpu_hours]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("product", "name"),
    [
        ("NVIDIA-H100-80GB-HBM3", "H100 SXM 80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100 SXM 40GB"),
        ("h100 pcie 80gb", "H100 PCIe 80GB"),
        ("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", None),
        ("NVIDIA GeForce RTX 4090", None),
        ("", None),
    ],
)
def test_a_gpu_is_known_by_the_names_it_goes_by(product: str, name: str | None) -> None:
    assert gpu_name(product) == name
    assert bool(gpu_prices(product)) is (name is not None)


def test_a_cloud_chooses_its_price_and_never_spot() -> None:
    price = chosen_price("NVIDIA H200", "google")
    assert price is not None
    assert price.kind == "on-demand"
    cost = section(Cost(cloud="aws"))
    assert cost["inputs"]["hourly_usd"] == cost["price"]["usd"] > 0
    assert cost["price"]["age_days"] == (dt.date(2026, 11, 20) - dt.date.fromisoformat(cost["price"]["date"])).days
    assert section(Cost(cloud="aws", hourly_usd=2.0))["inputs"]["hourly_usd"] == 2.0


def test_a_sheet_of_ones_own_replaces_the_releases() -> None:
    def own(cloud: str, gpu: str) -> tuple[OwnPrice]:
        return (OwnPrice(cloud=cloud, gpu=gpu, usd=1.5, date="2026-11-01", source="contract 17"),)

    mine = own("ours", "AMD Instinct MI300X")
    ours = section(Cost(cloud="Ours", prices=mine), products=["AMD Instinct MI300X"])
    assert ours["inputs"]["hourly_usd"] == 1.5
    assert ours["price"] | {"age_days": 19, "source": "contract 17", "kind": "on-demand"} == ours["price"]
    assert [row["cloud"] for row in ours["list_prices"]] == ["ours"]
    aws = section(Cost(cloud="aws", prices=own("aws", "H100 SXM 80GB")))
    listed = [(row["cloud"], row["kind"]) for row in aws["list_prices"]]
    assert aws["inputs"]["hourly_usd"] == 1.5
    assert listed.count(("aws", "on-demand")) == 1
    assert len(listed) > 1
    unknown = section(Cost(cloud="moon", prices=own("ours", "L4 24GB")))
    assert "ours" in unknown["reason"]


def test_list_prices_stand_beside_and_change_nothing() -> None:
    cost = section()
    usd = [row["usd"] for row in cost["list_prices"]]
    assert usd == sorted(usd)
    assert cost["list_prices"][0]["monthly_usd"] == pytest.approx(usd[0] * 2 * 730)
    assert section(products=[])["list_prices"] is None
    assert section(products=["NVIDIA GeForce RTX 4090"])["list_prices"] is None


def test_the_same_traffic_at_a_hosted_price() -> None:
    cost = section(Cost(hourly_usd=3.6, hosted_input_usd=1.0, hosted_output_usd=2.0))
    own = cost["hosted"][0]
    # 128 tokens in and 64 out a request, at 1 and 2 dollars a million
    assert own["per_request_usd"] == pytest.approx((128 * 1 + 64 * 2) / 1e6)
    assert own["break_even_utilisation"] == pytest.approx(cost["per_request_usd"] / own["per_request_usd"])
    assert cost["hosted"][1]["provider"] == "deepinfra"
    assert section(models=["a/model-of-ours"])["hosted"] is None


def test_at_break_even_both_cost_the_same() -> None:
    hosted = section(Cost(hourly_usd=3.6, hosted_input_usd=1.0, hosted_output_usd=2.0))["hosted"][0]
    use = hosted["break_even_utilisation"]
    figures = cost_figures(hourly_usd=3.6, gpus=2, rate_per_s=10, utilisation=min(use, 1))
    assert use < 1
    assert figures.effective_per_request_usd == pytest.approx(hosted["per_request_usd"])


def test_a_model_is_known_by_the_last_part_of_its_id() -> None:
    assert hosted_prices(["org/llama-3.3-70b-instruct"])
    assert hosted_prices(["Llama-3.3-70B-Instruct"]) == hosted_prices(["x/y/Llama-3.3-70B-Instruct"])
    assert hosted_prices(["Llama-3.3-70B"]) == ()


@given(st.lists(st.floats(0.01, 1), max_size=6))
def test_levers_multiply(factors: list[float]) -> None:
    product = combined(factors)
    assert product == pytest.approx(math.prod(factors))
    # Never more than the sum of the single savings, and never more than everything.
    assert 1 - product <= sum(1 - f for f in factors) + 1e-9
    assert 0 <= 1 - product < 1 or not factors


@given(shares, money, money)
def test_spot_touches_the_burst_alone(burst: float, spot: float, price: float) -> None:
    factor = spot_factor(burst, spot, price)
    assert factor * price == pytest.approx((1 - burst) * price + burst * spot)
    assert spot_factor(0, spot, price) == 1


def found(cost: Cost, tolerant: bool = True, rate: float | None = 10.0, knee: float | None = None) -> dict[str, Any]:
    ways = levers(cost, hourly_usd=4.0, rate_per_s=rate, knee_per_s=knee, tolerant=tolerant)
    return savings_section(ways, monthly_usd=1000.0, per_million_usd=100.0)


def test_without_inputs_no_percentage_is_quoted() -> None:
    savings = found(Cost())
    assert all(lever["factor"] is None and lever["missing"] for lever in savings["levers"])
    assert [savings[key] for key in ("factor", "saving", "monthly_usd", "per_million_usd")] == [None] * 4
    assert "%" not in json.dumps(savings)


def test_levers_are_ranked_and_show_their_arithmetic() -> None:
    savings = found(Cost(spot_hourly_usd=1.0, burst_share=0.4, idle_share=0.5, quantised_rate_per_s=12.5), knee=16.0)
    known = [lever for lever in savings["levers"] if lever["factor"] is not None]
    assert [(lever["id"], round(lever["factor"], 4)) for lever in known] == [
        ("scale-to-zero", 0.5), ("fill", 0.625), ("spot", 0.7), ("quantisation", 0.8),
    ]  # fmt: skip
    for lever in known:
        assert lever["arithmetic"].endswith(f"= {lever['factor']:.4g}")
        assert lever["monthly_saving_usd"] == pytest.approx(1000 * (1 - lever["factor"]))
    assert savings["factor"] == pytest.approx(0.5 * 0.625 * 0.7 * 0.8)
    assert savings["monthly_usd"] == pytest.approx(1000 * 0.5 * 0.625 * 0.7 * 0.8)


def test_spot_is_shown_and_not_counted_where_load_may_not_be_interrupted() -> None:
    savings = found(Cost(spot_hourly_usd=1.0, burst_share=0.4), tolerant=False)
    spot = next(lever for lever in savings["levers"] if lever["id"] == "spot")
    assert (spot["factor"], spot["counted"], savings["factor"]) == (pytest.approx(0.7), False, None)
    assert "interruption-tolerant" in spot["condition"]


def test_a_lever_that_costs_more_says_so_and_is_left_out_of_the_sum() -> None:
    savings = found(Cost(spot_hourly_usd=8.0, burst_share=0.5, idle_share=0.1))
    spot = next(lever for lever in savings["levers"] if lever["id"] == "spot")
    assert spot["factor"] == pytest.approx(1.5)
    assert savings["factor"] == pytest.approx(0.9)


def test_beyond_the_knee_there_is_nothing_to_fill() -> None:
    fill = next(lever for lever in found(Cost(), knee=8.0)["levers"] if lever["id"] == "fill")
    assert (fill["factor"], fill["saving"]) == (1.0, 0.0)


def test_routing_and_caching() -> None:
    savings = found(Cost(routed_share=0.5, routed_cost_ratio=0.2, cached_share=0.25))
    assert {lever["id"]: lever["factor"] for lever in savings["levers"] if lever["factor"]} == {
        "routing": pytest.approx(0.6), "caching": 0.75,
    }  # fmt: skip


def test_a_cpu_beside_an_idle_gpu() -> None:
    cost = section(Cost(hourly_usd=3.6, cpu_hourly_usd=0.36, cpu_rate_per_s=2.0))
    assert cost["cpu"]["per_request_usd"] == pytest.approx(0.36 / 3600 / 2)
    assert cost["cpu"]["ratio_to_gpu"] == pytest.approx(0.25)
    assert section()["cpu"] is None


def test_the_command_takes_a_price_of_the_sheet(tmp_path: Path) -> None:
    file = tmp_path / "cost.json"
    done = CliRunner().invoke(
        app, ["--cloud", "aws", "--gpu", "H100 SXM 80GB", "--gpus", "1", "--rate", "5", "--goodput", "4",
              "--spot-hourly", "2", "--burst-share", "0.5", "-o", f"json={file}", "-o", "terminal"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    data = json.loads(file.read_text(encoding="utf-8"))
    price = chosen_price("H100 SXM 80GB", "aws")
    assert price is not None
    assert data["inputs"]["hourly_usd"] == price.usd
    assert data["savings"]["factor"] == pytest.approx(0.5 + 0.5 * 2 / price.usd)
    assert re.search(rf"price\s+\${price.usd:g} an hour: .*{price.date}", done.stdout)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "--hourly"),
        (["--cloud", "aws", "--gpu", "H100 PCIe 80GB"], "it has runpod"),
        (["--cloud", "aws", "--gpu", "Voodoo"], "known GPUs"),
        (["--cloud", "moon", "--gpu", "H100 PCIe 80GB"], "no cloud"),
        (["--hourly", "1", "--idle-share", "1.5"], "--idle-share"),
        (["--hourly", "1", "--spot-hourly", "-1"], "--spot-hourly"),
    ],
)
def test_what_the_command_refuses(flags: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["--gpus", "1", "--rate", "5", *flags])
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)
