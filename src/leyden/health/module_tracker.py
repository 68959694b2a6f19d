"""Which module of a net is at work: names for what a mode or a hook sees."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn


class ModuleTracker:
    """The module whose forward pass is going on, by its name in the whole; "" outside of all.

    Keeps, too, the module that finished last: what is computed between two modules is said to be after it.
    """

    def __init__(self) -> None:
        self._stack: list[str] = []
        self.previous = ""

    @property
    def current(self) -> str:
        """Name of the innermost module at work."""
        return self._stack[-1] if self._stack else ""

    @contextmanager
    def watching(self, root: nn.Module) -> Iterator["ModuleTracker"]:
        """For the time of the block every module of `root` says when it begins and ends."""
        with ExitStack() as hooks:
            for name, module in root.named_modules():
                if name:
                    hooks.enter_context(_hooked(module, self._enter(name), self._leave))
            yield self

    def _enter(self, name: str) -> Callable[..., None]:
        return lambda *_: self._stack.append(name)

    def _leave(self, *_: Any) -> None:
        self.previous = self._stack.pop()


@contextmanager
def _hooked(module: nn.Module, before: Callable[..., None], after: Callable[..., None]) -> Iterator[None]:
    handles = (
        module.register_forward_pre_hook(before),
        module.register_forward_hook(after, always_call=True),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
