"""The table of XIDs holds together: a class, an action and a source for each, and a site's word over all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.xid_table import XidPolicy, known_xids, site_policy, site_xids, xid_entry, xid_kind

DISPUTED = (63, 65, 68, 69, 73, 80, 92, 94, 109)
OUT_OF_USE = ("reset the GPU", "reboot the machine", "restart the virtual machine", "check power and cabling")


@pytest.mark.parametrize("xid", known_xids())
def test_every_xid_has_a_class_an_action_and_a_source(xid: int) -> None:
    entry = xid_entry(xid)
    assert entry.xid == xid
    assert entry.kind == xid_kind(xid)
    assert entry.action not in ("", "none")
    assert entry.sources


@pytest.mark.parametrize("xid", [xid for xid in known_xids() if xid_kind(xid) == "hardware"])
def test_no_source_excuses_a_hardware_fault(xid: int) -> None:
    said = "; ".join(xid_entry(xid).sources)
    assert "restart the application" not in said
    assert "catalogue: none" not in said
    assert "ignored by" not in said


@pytest.mark.parametrize("xid", [xid for xid in known_xids() if xid_kind(xid) == "application"])
def test_no_source_calls_an_applications_fault_fatal(xid: int) -> None:
    said = "; ".join(xid_entry(xid).sources)
    assert "fatal for" not in said
    assert not any(action in said for action in OUT_OF_USE)


@pytest.mark.parametrize("xid", DISPUTED)
def test_what_sources_disagree_on_is_investigated(xid: int) -> None:
    assert xid_kind(xid) == "investigate"


def test_disagreement_is_shown() -> None:
    assert xid_entry(109).sources == (
        "NVIDIA's catalogue: reset the GPU",
        "fatal for EKS",
        "ignored by the Kubernetes device plug-in",
    )


def test_an_xid_that_nobody_names_is_investigated() -> None:
    entry = xid_entry(999)
    assert (entry.kind, entry.meaning, entry.sources) == ("investigate", "not in the table", ())
    assert XidPolicy().why(999) == "XID 999: no source names it"


@given(ignored=st.sets(st.integers(1, 200)), fatal=st.sets(st.integers(1, 200)), xid=st.integers(1, 300))
def test_a_sites_word_stands_over_the_tables(ignored: set[int], fatal: set[int], xid: int) -> None:
    policy = site_xids(sorted(ignored), sorted(fatal - ignored))
    assert policy.fault == ""
    wanted = "ignored" if xid in ignored else "hardware" if xid in fatal else xid_kind(xid)
    assert policy.kind(xid) == wanted
    assert ("by this audit's policy" in policy.why(xid)) == (xid in ignored | fatal)
    assert (f"XID {xid} (" in policy.besides([xid])) == (xid in ignored)


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.dictionaries(st.text(), st.integers())))
def test_what_is_no_list_is_refused(given_value: object) -> None:
    assert "a list of XIDs is wanted" in site_xids(given_value).fault


@given(st.lists(st.one_of(st.none(), st.booleans(), st.text(), st.floats(), st.integers(max_value=0)), min_size=1))
def test_what_is_no_xid_is_refused(values: list[object]) -> None:
    assert "is no XID" in site_xids((), values, "gpu-xid-last").fault
    assert site_xids((), values, "gpu-xid-last").fault.startswith("parameters.gpu-xid-last.fatal: ")


def test_a_check_adds_to_what_the_site_ignores() -> None:
    policy = {"parameters": {"gpu-xid-hardware": {"fatal": [94], "ignore": [119]}}}
    site = site_policy(policy, [13], "gpu-xid-other")
    assert (site.fatal, site.ignored) == (frozenset({94}), frozenset({13, 119}))
    assert site_policy({}, (), "gpu-xid-other") == XidPolicy()
