"""What is started and has to be stopped, as a context manager: the control plane, a borrowed cluster, a node."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Stoppable(ABC):
    """Stops itself when the ``with`` block ends, however it ends."""

    @abstractmethod
    def stop(self) -> None:
        """Ends it and removes what it made; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
