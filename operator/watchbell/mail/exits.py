"""What an exit code or a signal usually means, in plain words: the knowledge of the crash mail.

Before: the last state of a container. After: one sentence. Sources: POSIX.1-2017 XCU §2.8.2 (126, 127, 128+n), signal(7), the kubelet's reasons.
"""

_SIGNALS = {
    1: ("SIGHUP", "its controlling process hung up, or it took a reload signal for the end"),
    2: ("SIGINT", "it was interrupted, as by Ctrl-C"),
    3: ("SIGQUIT", "it was told to quit; a Go program prints its goroutines and exits"),
    4: (
        "SIGILL",
        "it met an instruction this CPU does not know: an image for another CPU, or one built for a newer CPU",
    ),
    5: ("SIGTRAP", "it hit a trap or a debugger's breakpoint"),
    6: ("SIGABRT", "it aborted itself: a failed assertion, a Go or C++ runtime error, or a failed allocation"),
    7: ("SIGBUS", "it touched memory that has no backing: a truncated mapped file or a full disk"),
    8: ("SIGFPE", "it divided by zero or made another arithmetic error"),
    9: (
        "SIGKILL",
        "the kernel or the kubelet killed it: memory, a missed liveness probe, or a stop that took longer than its grace period",
    ),
    11: ("SIGSEGV", "it touched memory that is not its own: a bug in native code, or an image for another platform"),
    13: ("SIGPIPE", "the reader of its output went away"),
    14: ("SIGALRM", "its own timer ran out"),
    15: ("SIGTERM", "it was asked to stop: a rollout, a drain, an eviction or a missed liveness probe"),
    24: ("SIGXCPU", "it used up its CPU time limit"),
    25: ("SIGXFSZ", "it wrote a file larger than its limit"),
    31: ("SIGSYS", "it made a system call that the seccomp profile forbids"),
}

_CODES = {
    0: "The container ended by itself without an error; a collector should never end, so look at its command and arguments.",
    1: "The program gave up with a general error: most often a configuration it cannot load or a receiver or exporter that does not start.",
    2: "The program was used wrongly or panicked: an unknown flag or argument, or, in a Go program, a panic.",
    125: "The container runtime could not run the command; the container's own program never started.",
    126: "The command was found but may not be executed: a missing execute permission, or not a program at all.",
    127: "The command was not found: a wrong path in command or args, or a shell or library missing from the image.",
    128: "The container runtime could not start the command; the events of the pod say why.",
    255: "The program left with the code -1, or its node or runtime lost it; the log and the events of the pod say which.",
}


def exit_meaning(exit_code: int | None, signal: int | None = None, reason: str = "", memory_limit: str = "") -> str:
    """One or two sentences on why a container usually ends so; empty when nothing is known. `reason` is the kubelet's (`OOMKilled`, `Error`)."""
    if reason == "OOMKilled":
        return _out_of_memory(memory_limit)
    if reason in {"ContainerCannotRun", "StartError", "CreateContainerError", "RunContainerError"}:
        return "The container could not be started: its command, a mount or a security setting does not fit; the events of the pod say which."
    if signal or _is_signal(exit_code):
        return _killed_by(signal or (exit_code or 128) - 128)
    if exit_code is None:
        return ""
    return _CODES.get(
        exit_code,
        f"The program left with code {exit_code}, which is its own: its documentation or its last log lines say what it stands for.",
    )


def exit_label(exit_code: int | None, signal: int | None = None, reason: str = "") -> str:
    """Two or three words for a table: `OOMKilled`, `exit 139 (SIGSEGV)`, `exit 1`; empty when nothing is known."""
    if reason == "OOMKilled":
        return reason
    number = signal or ((exit_code or 0) - 128 if _is_signal(exit_code) else None)
    signal_name = _SIGNALS[number][0] if number in _SIGNALS else f"signal {number}" if number else ""
    if exit_code is None:
        return signal_name
    return f"exit {exit_code} ({signal_name})" if signal_name else f"exit {exit_code}"


def _is_signal(exit_code: int | None) -> bool:
    return exit_code is not None and 128 < exit_code <= 128 + 64


def _killed_by(number: int) -> str:
    signal_name, why = _SIGNALS.get(number, ("", ""))
    return (
        f"The program ended by signal {number} ({signal_name}): {why}."
        if signal_name
        else f"The program ended by signal {number}."
    )


def _out_of_memory(memory_limit: str) -> str:
    limit = f" of {memory_limit}" if memory_limit else ""
    unset = "" if memory_limit else " No limit is known for it, so the node itself may have run out of memory."
    return (
        f"The kernel killed it for using more memory than its limit{limit}.{unset} Raise the limit, or lower what the collector holds: "
        "its memory_limiter should stay well below the limit, and queues and batches count too."
    )
