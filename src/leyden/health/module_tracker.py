"""Name of the module whose forward pass is running, for dispatch modes and hooks."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn


class ModuleTracker:
    """Qualified name of the module whose forward pass is running; "" outside of all modules.

    `previous` is the module that finished last, to locate an operation between two modules.
    """

    def __init__(self) -> None:
        self._stack: list[str] = []
        self.previous = ""

    @property
    def current(self) -> str:
        """Qualified name of the innermost running module; "" outside of all."""
        return self._stack[-1] if self._stack else ""

    @contextmanager
    def watching(self, root: nn.Module) -> Iterator["ModuleTracker"]:
        """Track every module of `root` within the block."""
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
