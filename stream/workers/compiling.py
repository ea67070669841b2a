"""The champion as compiled code: from the cache at once, else made beside the worker and taken when ready.

Whatever goes wrong LightGBM goes on answering, and it is said once for each model.
"""

from collections.abc import Callable

import structlog

from models.bundle import Bundle
from models.compiled.cache import Cache, CacheUnusable
from models.compiled.compilation import Compilation, Failed
from models.compiled.identity import Identity, NotInstalled, identity_of
from stream.clock import monotonic_ms

log = structlog.get_logger()

NICE = 10
"""On a core that it shares with a busy worker a compilation gets a tenth of the time."""
PATIENCE_MS = 1_800_000
"""A model of thousands of trees takes minutes on a busy machine; longer than this, and something is wrong."""


class Compiling:
    """Used by one thread: the one that loads what is deployed."""

    def __init__(
        self, cache: Cache, *, makes: bool, nice: int = NICE, clock_ms: Callable[[], int] = monotonic_ms
    ) -> None:
        """makes: whether code is made that the cache does not have."""
        self._cache = cache
        self._makes = makes
        self._nice = nice
        self._clock_ms = clock_ms
        self._left: set[str] = set()
        """The digests of models that are left to LightGBM."""
        self._looked_at: object = None
        """The file that no code came of."""
        self._under_way: Compilation | None = None
        self._began_ms = 0

    def at_once(self, bundle: Bundle | None) -> Bundle | None:
        """The bundle as it can answer now: compiled where the cache has its code."""
        if bundle is None or not self._wants(bundle):
            return bundle
        identity = self._identity(bundle)
        ready = self._from_cache(bundle, identity) if identity else None
        return ready or bundle

    def look(self, bundle: Bundle | None) -> Bundle | None:
        """Call it now and then with the champion in force; it returns the compiled one when that is ready."""
        identity = self._identity(bundle) if bundle is not None and self._wants(bundle) else None
        if self._under_way is not None and self._under_way.identity != identity:
            self.close()
        if bundle is None or identity is None:
            return None
        ready = self._from_cache(bundle, identity)  # another worker may have been faster
        if ready is not None:
            self.close()
            return ready
        return self._compiled(bundle, identity) if self._makes else None

    def close(self) -> None:
        """End what is under way."""
        if self._under_way is not None:
            self._under_way.close()
            self._under_way = None

    def _wants(self, bundle: Bundle) -> bool:
        return not bundle.is_compiled and bundle.digest not in self._left

    def _identity(self, bundle: Bundle) -> Identity | None:
        try:
            return identity_of(bundle.digest)
        except NotInstalled as error:
            self._leave(bundle, str(error))
            return None

    def _from_cache(self, bundle: Bundle, identity: Identity) -> Bundle | None:
        """A file that nothing came of is not looked at again until it is another."""
        path = self._cache.path(identity)
        found = self._cache.stamp(identity)
        if found is None or (path, found) == self._looked_at:
            return None
        self._looked_at = path, found
        try:
            code = self._cache.read(identity)
        except CacheUnusable as error:
            log.warning("compiled_code_not_taken", problem=str(error))
            return None
        return None if code is None else self._activated(bundle, code, str(path))

    def _compiled(self, bundle: Bundle, identity: Identity) -> Bundle | None:
        if self._under_way is None:
            self._begin(bundle, identity)
            return None
        result = self._under_way.result()
        took_ms = self._clock_ms() - self._began_ms
        if result is None and took_ms < PATIENCE_MS:
            return None
        self.close()
        if result is None or isinstance(result, Failed):
            self._leave(bundle, result.cause if result else f"not done in {PATIENCE_MS // 60_000} minutes")
            return None
        kept = None
        try:
            kept = str(self._cache.write(identity, result))
            self._looked_at = self._cache.path(identity), self._cache.stamp(identity)
        except CacheUnusable as error:
            log.warning("compiled_code_not_kept", problem=str(error))
        ready = self._activated(bundle, result, kept)
        if ready is None:
            self._left.add(bundle.digest)
        return ready

    def _begin(self, bundle: Bundle, identity: Identity) -> None:
        try:
            self._under_way = Compilation(bundle, identity, self._nice)
        except OSError as error:
            self._leave(bundle, f"no process can be started: {error}")
            return
        self._began_ms = self._clock_ms()
        log.info("compiling", version=bundle.version, meanwhile="lightgbm")

    def _activated(self, bundle: Bundle, code: bytes, kept: str | None) -> Bundle | None:
        from models.compiled.activate import CompiledRefused, NotSupported, activate  # noqa: PLC0415  an extra

        try:
            ready = activate(bundle, code)
        except (CompiledRefused, NotSupported, OSError) as error:
            log.error("compiled_code_refused", version=bundle.version, problem=str(error), file=kept)
            return None
        log.info("compiled", version=bundle.version, digest=bundle.digest[:12], file=kept)
        return ready

    def _leave(self, bundle: Bundle, why: str) -> None:
        self._left.add(bundle.digest)
        log.warning("not_compiled", version=bundle.version, problem=why, answering="lightgbm")
