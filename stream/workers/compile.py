"""`riverrun models compile`: machine code of models into the cache, before a worker asks for it."""

from collections.abc import Iterator, Sequence

from models.bundle import Bundle, load_bundle
from models.compiled.cache import Cache, CacheUnusable
from models.compiled.compilation import Compilation, Failed
from models.compiled.identity import Identity, identity_of
from models.deployment import read_deployment
from stream.clock import monotonic_ms
from stream.config import Settings, compiled_cache
from stream.errors import ConfigurationError, ExitCode, SettingProblem


def run(settings: Settings, versions: Sequence[str]) -> int:
    """Compile these versions, or those that are deployed, and say what came of each.

    Raises `ConfigurationError`, `DeploymentError`, `BundleRefused`, `NotInstalled`, `CacheUnusable`.
    """
    if settings.models is None:
        problem = SettingProblem("models", settings.origin("models"), "is not set", "give --models DIR")
        raise ConfigurationError([problem])
    if not versions:
        deployment = read_deployment(settings.models)
        versions = [deployment.champion, *([deployment.previous] if deployment.previous else [])]
    cache = Cache(compiled_cache(settings))
    cache.prepare()
    done = True
    for version in versions:
        bundle = load_bundle(settings.models / version)
        for ready, line in _compile(bundle, cache):
            done &= ready
            print(f"{version}: {line}", flush=True)  # noqa: T201  this is what it is for
    return ExitCode.OK if done else ExitCode.FAILED


def _compile(bundle: Bundle, cache: Cache) -> Iterator[tuple[bool, str]]:
    """Whether it can be served compiled, and a line about it."""
    identity = identity_of(bundle.digest)
    if _is_kept(bundle, cache, identity):
        yield True, f"compiled already: {cache.path(identity)}"
        return
    began_ms = monotonic_ms()
    compilation = Compilation(bundle, identity)
    try:
        result = compilation.wait()
    finally:
        compilation.close()
    if isinstance(result, Failed):
        yield False, f"left to LightGBM: {result.cause}"
        return
    path = cache.write(identity, result)
    seconds = (monotonic_ms() - began_ms) / 1000
    yield True, f"compiled in {seconds:.1f} s, {len(result) / 1e6:.1f} MB: {path}"


def _is_kept(bundle: Bundle, cache: Cache, identity: Identity) -> bool:
    """Whether a worker would take what the cache has."""
    from models.compiled.activate import CompiledRefused, NotSupported, activate  # noqa: PLC0415  an extra

    try:
        code = cache.read(identity)
        if code is not None:
            activate(bundle, code)
    except (CacheUnusable, CompiledRefused, NotSupported):
        return False  # it is made anew, or said why not
    return code is not None
