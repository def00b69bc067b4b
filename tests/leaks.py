"""Fails a test that leaves asyncio tasks behind: a task that nobody awaits is an error that nobody sees."""

import asyncio

_TURNS = 50


async def tasks_left() -> tuple[str, ...]:
    """The tasks that still run after they had a fair chance to end, cancelled so that they disturb nobody else."""
    left = _others()
    for _ in range(_TURNS):
        if not left:
            break
        # Closing transports and cancelled tasks need some turns of the loop, not time.
        await asyncio.sleep(0)
        left = _others()
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return tuple(f"{task.get_name()}: {task.get_coro()!r}" for task in left)


def _others() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
