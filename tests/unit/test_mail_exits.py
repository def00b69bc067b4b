"""What exit codes mean: one sentence for each, and the right one."""

import pytest

from watchbell.mail.exits import exit_label, exit_meaning


@pytest.mark.parametrize(
    ("exit_code", "signal", "reason", "label", "part"),
    [
        (0, None, "Completed", "exit 0", "should never end"),
        (1, None, "Error", "exit 1", "configuration it cannot load"),
        (2, None, "Error", "exit 2", "unknown flag"),
        (126, None, "Error", "exit 126", "may not be executed"),
        (127, None, "Error", "exit 127", "not found"),
        (128, None, "StartError", "exit 128", "could not be started"),
        (134, None, "Error", "exit 134 (SIGABRT)", "aborted itself"),
        (137, None, "Error", "exit 137 (SIGKILL)", "liveness probe"),
        (137, None, "OOMKilled", "OOMKilled", "limit of 512Mi"),
        (1, None, "OOMKilled", "OOMKilled", "limit of 512Mi"),
        (139, None, "Error", "exit 139 (SIGSEGV)", "memory that is not its own"),
        (143, None, "Error", "exit 143 (SIGTERM)", "asked to stop"),
        (163, None, "Error", "exit 163 (signal 35)", "signal 35"),
        (255, None, "Error", "exit 255", "-1"),
        (42, None, "Error", "exit 42", "code 42"),
        (None, 11, "", "SIGSEGV", "memory that is not its own"),
        (0, 9, "", "exit 0 (SIGKILL)", "killed"),
        (200, None, "Error", "exit 200", "code 200"),
    ],
)
def test_an_end_is_explained_in_plain_words(
    exit_code: int | None, signal: int | None, reason: str, label: str, part: str
) -> None:
    assert exit_label(exit_code, signal, reason) == label
    assert part in exit_meaning(exit_code, signal, reason, "512Mi")


def test_nothing_known_is_nothing_said() -> None:
    assert not exit_meaning(None)
    assert not exit_label(None)


def test_out_of_memory_without_a_limit_blames_the_node() -> None:
    assert "the node itself" in exit_meaning(137, None, "OOMKilled")


@pytest.mark.parametrize("exit_code", range(-1, 300))
def test_every_code_has_a_sentence(exit_code: int) -> None:
    assert exit_meaning(exit_code).endswith(".")
