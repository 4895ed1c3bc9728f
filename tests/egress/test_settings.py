import pytest

from boxyard_worker.egress import EgressSettings


def test_the_environment_gives_lists_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXYARD_ALLOWED_NETWORKS", "10.1.0.0/16, fd00::/8")
    monkeypatch.setenv("BOXYARD_ALLOWED_PORTS", "443,8443")
    settings = EgressSettings()
    assert settings.allowed_networks == ("10.1.0.0/16", "fd00::/8")
    assert settings.allowed_ports == {443, 8443}


def test_an_empty_list_of_ports_allows_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXYARD_ALLOWED_PORTS", "")
    assert EgressSettings().allowed_ports == frozenset()


def test_what_is_not_a_network_is_refused() -> None:
    with pytest.raises(ValueError, match="host bits"):
        EgressSettings(allowed_networks=("10.0.0.1/8",)).policy()
