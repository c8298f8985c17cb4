"""Stock code imported without what streaming never uses.

Of the seconds that ``chatterbox.tts_turbo`` takes to import, half go into modules that speaking never calls: librosa
with numba, SciPy's filters and optimisers, scikit-learn's ROC curves, PyTorch's flexible attention with its compiler.
Building modules on the ``meta`` device imports sympy. Meanwhile they are stand-ins; whoever does use one later gets the
real module then. PerTh needs one function of ``pkg_resources``, which setuptools dropped in release 81; it gets that
function.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import operator
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import StreamTTSError


def _left_alone(function: Any = None, *_: Any, **__: Any) -> Any:
    """A decorator that tells PyTorch's compiler how to treat a function."""
    return _left_alone if function is None else function


def _get_window(name: str, n: int, fftbins: bool = True) -> Any:
    """``scipy.signal.get_window`` for the one window that HiFT asks for."""
    if name != "hann":
        return importlib.import_module("scipy.signal").get_window(name, n, fftbins)
    import torch

    return torch.hann_window(n, periodic=fftbins, dtype=torch.float64, device="cpu").numpy()


def _as_it_is(value: Any, *_: Any, **__: Any) -> Any:
    """What PyTorch's questions about sizes come to that may not be known yet, where all sizes are numbers."""
    return value


_SIZE_QUESTIONS = (
    "expect_true", "definitely_true", "statically_known_true", "guard_size_oblivious", "guard_or_false",
    "guard_or_true", "guard_int", "_advise_is_size", "_advise_is_bounded", "_constrain_range_for_size",
)  # fmt: skip

# Modules that may stand in, and their constants, which stock code uses at once.
DEFERRED: dict[str, dict[str, Any]] = {
    "httpx._main": {},
    "librosa": {},
    "librosa.filters": {},
    "scipy.optimize": {},
    "scipy.signal": {"get_window": _get_window},
    "sklearn.metrics": {},
    "sympy": {},
    "torch._dynamo": dict.fromkeys(("allow_in_graph", "assume_constant_result", "disable"), _left_alone),
    "torch.fx.experimental.symbolic_shapes": {
        **dict.fromkeys(_SIZE_QUESTIONS, _as_it_is),
        "is_nested_int": lambda _: False,
        "sym_eq": operator.eq,
        "sym_and": lambda *values: all(values),
        "sym_or": lambda *values: any(values),
    },
    "torch._dynamo._trace_wrapped_higher_order_op": {},
    "torch.utils.checkpoint": {},
    "torch.nn.attention.flex_attention": {"_DEFAULT_SPARSE_BLOCK_SIZE": 128},
    "transformers.integrations.flex_attention": {},
}
# Needed before the first sound, and independent of PyTorch: imported beside it.
_BESIDE = ("onnx", "onnxruntime")
_THREAD = "streamtts-imports"
_lock = threading.RLock()


def import_stock() -> Any:
    """Import ``chatterbox.tts_turbo`` and ``perth``; returns the former. Cheap when done already.

    Raises:
        StreamTTSError: ``watermarker_missing``: perth hides what its watermarker lacks, and gives None for it.
            ``torchaudio_broken``: see :func:`import_torchaudio`.
    """
    importlib.import_module("torch")  # its own import uses what stands in below
    with _lock, _stand_ins():
        import_torchaudio()
        perth = sys.modules.get("perth")
        if perth is not None and perth.PerthImplicitWatermarker is None:  # imported before, where pkg_resources is not
            for name in [name for name in sys.modules if name.partition(".")[0] == "perth"]:
                del sys.modules[name]
        if importlib.import_module("perth").PerthImplicitWatermarker is None:
            message = "the watermarker cannot be imported; run pip install --force-reinstall --no-deps resemble-perth"
            raise StreamTTSError("watermarker_missing", message)
        return importlib.import_module("chatterbox.tts_turbo")


def import_torchaudio() -> None:
    """Import torchaudio. A build of it for CUDA does not load beside a PyTorch for CPUs, nor one for another PyTorch.

    Raises:
        StreamTTSError: ``torchaudio_broken``, with both builds and the command that installs a matching one.
    """
    try:
        importlib.import_module("torchaudio")
    except Exception as fault:  # OSError of the loader of libraries, RuntimeError of torchaudio's own check
        import torch

        try:
            version = importlib.metadata.version("torchaudio")
        except importlib.metadata.PackageNotFoundError:
            version = "(not installed)"
        built = "CPUs only" if torch.version.cuda is None else f"CUDA {torch.version.cuda}"
        message = (
            f"torchaudio {version} does not load beside torch {torch.__version__}, built for {built} ({fault});"
            " install both from the same index: pip install --force-reinstall --no-deps torch torchaudio"
        )
        raise StreamTTSError("torchaudio_broken", message) from fault


def import_beside() -> None:
    """Start importing in a thread what the first sound needs besides PyTorch; once in a process."""
    if _BESIDE[0] in sys.modules or any(thread.name == _THREAD for thread in threading.enumerate()):
        return
    import numpy  # noqa: F401 - both threads need it

    def work() -> None:
        for name in _BESIDE:
            with contextlib.suppress(ImportError):  # whoever needs it reports it
                importlib.import_module(name)

    threading.Thread(target=work, name=_THREAD, daemon=True).start()


@contextlib.contextmanager
def without_compiler() -> Iterator[None]:
    """PyTorch's compiler and sympy are not imported, though operations on the ``meta`` device ask for both."""
    with _lock, _deferred("torch._dynamo", "torch.fx.experimental.symbolic_shapes", "sympy"):
        yield


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    other = {}
    if sys.modules.get("pkg_resources") is None:
        other["pkg_resources"] = pkg_resources = ModuleType("pkg_resources")
        pkg_resources.resource_filename = _resource_filename  # type: ignore[attr-defined]
    of_packages = importlib.metadata.packages_distributions
    importlib.metadata.packages_distributions = _Distributions
    try:
        with _deferred(*DEFERRED, **other):
            yield
    finally:
        importlib.metadata.packages_distributions = of_packages


@contextlib.contextmanager
def _deferred(*names: str, **other: ModuleType) -> Iterator[None]:
    """Of these modules those that are not imported yet are stand-ins; the others are put beside them."""
    put = {name: _Deferred(name, DEFERRED[name]) for name in names if name not in sys.modules}
    modules = {**put, **other}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in modules.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        for module in put.values():
            module.importing = False


def _resource_filename(package: str, name: str) -> str:
    """A file beside a package's code, as ``pkg_resources`` gives it for a package that is no archive."""
    return str(Path(next(iter(sys.modules[package].__path__))) / name)


class _Distributions(dict[str, list[str]]):
    """``importlib.metadata.packages_distributions()``, which reads the file list of every package installed, on demand.

    Transformers calls it at its import, to learn the versions of a few packages.
    """

    def __missing__(self, package: str) -> list[str]:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # installed under another name, or not at all
            self.update(importlib.metadata.packages_distributions())
            if package not in self:
                raise KeyError(package) from None
        return self.setdefault(package, [package])

    def get(self, package: str, default: Any = None) -> Any:
        try:
            return self[package]
        except KeyError:
            return default


class _Deferred(ModuleType):
    """A module that is imported when one of its names is used."""

    importing = True  # stock code is being imported: it asks for names, and uses none

    def __init__(self, name: str, constants: dict[str, Any]) -> None:
        super().__init__(name)
        self.__spec__ = find_spec(name) if "." not in name else ModuleSpec(name, None)  # stock code asks for it
        vars(self).update(constants)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self.importing:
            return _DeferredName(name, (), {"module": self.__name__})
        return getattr(importlib.import_module(self.__name__), name)


class _DeferredName(type):
    """A name of such a module. It is a class, since stock code writes it into annotations and ``isinstance``."""

    module: str

    def real(cls) -> Any:
        if isinstance(sys.modules.get(cls.module), _Deferred):  # used while stock code is being imported
            for name, module in list(sys.modules.items()):  # it may need the others
                if isinstance(module, _Deferred):
                    del sys.modules[name]
        return getattr(importlib.import_module(cls.module), cls.__name__)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls.real()(*args, **kwargs)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(cls.real(), name)

    def __instancecheck__(cls, instance: object) -> bool:
        known = sys.modules.get(cls.module)
        return known is not None and not isinstance(known, _Deferred) and isinstance(instance, cls.real())
