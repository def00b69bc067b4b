import pytest

from watchbell.settings import OPTIONS, BindAddress, PortRange, SettingError, settings_from


def test_every_option_has_a_usable_default():
    settings = settings_from()
    assert (settings.send_workers, settings.probe_workers, settings.lease_seconds) == (4, 50, 5)
    assert settings.egress_allow_port == tuple(PortRange(port, port) for port in (25, 465, 587, 2465, 2525, 2587))


def test_a_flag_wins_over_its_variable():
    environment = {"WATCHBELL_SEND_WORKERS": "2", "WATCHBELL_CLUSTER_NAME": "blue"}
    settings = settings_from(["--send-workers", "8"], environment)
    assert (settings.send_workers, settings.cluster_name) == (8, "blue")


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["--egress-allow-cidr", "10.0.0.1/8"], {}, "--egress-allow-cidr"),
        (["--egress-allow-port", "70000"], {}, "--egress-allow-port"),
        (["--egress-allow-port", "30-20"], {}, "--egress-allow-port"),
        (["--send-workers", "0"], {}, "--send-workers"),
        (["--secret-access", "List"], {}, "--secret-access"),
        ([], {"WATCHBELL_LEASE_SECONDS": "soon"}, "WATCHBELL_LEASE_SECONDS"),
        ([], {"WATCHBELL_WATCH_NAMESPACES": "Not_A_Name"}, "WATCHBELL_WATCH_NAMESPACES"),
        (["--metrics-bind-address", "here"], {}, "--metrics-bind-address"),
        (["--allow-insecure-tls", "maybe"], {}, "--allow-insecure-tls"),
    ],
)
def test_a_bad_value_is_refused_with_the_name_of_the_flag_or_variable(arguments, environment, named):
    with pytest.raises(SettingError, match=f"^{named} must"):
        settings_from(arguments, environment)


def test_lists_ranges_and_addresses_are_read():
    settings = settings_from(
        [
            "--watch-namespaces",
            "a, b",
            "--egress-allow-port",
            "25,2500-2600",
            "--health-bind-address",
            ":9",
            "--allow-insecure-tls",
        ]
    )
    assert settings.watch_namespaces == ("a", "b")
    assert settings.egress_allow_port == (PortRange(25, 25), PortRange(2500, 2600))
    assert settings.health_bind_address == BindAddress("0.0.0.0", 9)  # noqa: S104 - what an empty host means
    assert settings.allow_insecure_tls is True


def test_flags_and_variables_are_spelled_alike():
    assert all(option.variable == "WATCHBELL_" + option.flag[2:].upper().replace("-", "_") for option in OPTIONS)
