"""`Any` in a public signature has a reason, or goes."""

from __future__ import annotations

from public_any import count_public_any

#: How many there are, and why.
REASONS = {
    # Type checkers do not see the function behind overloads, which gives anything.
    "mp_managers._container_proxies.DictProxy.fromkeys": (2, "behind overloads"),
    "mp_managers._container_proxies.DictProxy.get": (3, "behind overloads"),
    "mp_managers._container_proxies.DictProxy.pop": (3, "behind overloads"),
    "mp_managers._container_proxies.DictProxy.setdefault": (3, "behind overloads"),
    "mp_managers._container_proxies.ListProxy.__getitem__": (2, "behind overloads"),
    "mp_managers._container_proxies.ListProxy.__setitem__": (2, "behind overloads"),
    "mp_managers._sync_manager.SyncManager.dict": (6, "and what is empty"),
    "mp_managers._sync_manager.SyncManager.list": (3, "and what is empty"),
    "mp_managers._sync_manager.SyncManager.set": (3, "and what is empty"),
    "mp_managers._sync_proxies.ArrayProxy.__getitem__": (3, "behind overloads"),
    "mp_managers._sync_proxies.ArrayProxy.__setitem__": (3, "behind overloads"),
    # The overload for lists: they are invariant, so list[object] would take few.
    "mp_process._process.BaseProcess.__init__": (1, "a list of any arguments"),
    # As `socket.getsockname`: a tuple or a path, depending on the family.
    "mp_connection._listener.Listener.address": (1, "an address of any family"),
    "mp_connection._listener.Listener.last_accepted": (1, "the same"),
    "mp_managers._manager.BaseManager.__init__": (1, "the same"),
    "mp_managers._manager.BaseManager.address": (1, "the same"),
    "mp_managers._proxy.Token.address": (1, "the same"),
    "mp_managers._server.Server.__init__": (1, "the same"),
    "mp_managers._server.Server.address": (1, "the same"),
    # What a method of another process's object takes and gives.
    "mp_managers._batch.Later.result": (1, "of any method"),
    "mp_managers._container_proxies.ListProxy.sort": (1, "a key, as that of list.sort"),
    "mp_managers._manager.BaseManager.register": (2, "makers of any objects"),
    "mp_managers._proxy.AutoProxy": (1, "a proxy of a class made for it"),
    "mp_managers._proxy.BaseProxy.__deepcopy__": (2, "as copy.deepcopy"),
    "mp_managers._proxy.BaseProxy.__init__": (1, "a server of any objects"),
    "mp_managers._travelling.RebuildProxy": (1, "proxies of any class"),
    "mp_managers._proxy.Token.id": (1, "what the other library sends"),
    "mp_managers._referents.Namespace.__getattr__": (1, "attributes"),
    "mp_managers._sync_proxies.NamespaceProxy.__getattr__": (1, "attributes"),
    "mp_managers._sync_manager.SyncManager.JoinableQueue": (1, "items of any type"),
    "mp_managers._sync_manager.SyncManager.Queue": (1, "the same"),
    "mp_managers._server.Server.serve_until": (2, "messages of any type"),
    "mp_pool.joblib_backend.make_backend": (2, "what joblib gives and takes"),
    "mp_pool._result.AsyncResult.__await__": (1, "what an event loop is given"),
    "mp_pool.executor.Executor.map": (1, "arguments, as in the class it is like"),
    "mp_pool._state.WorkerState.__getattr__": (1, "attributes"),
    # As `pickle.loads`.
    "mp_sync._queue.Queue.__setstate__": (1, "what `__getstate__` gave"),
    "mp_sync._simple_queue.SimpleQueue.__setstate__": (1, "the same"),
    "mp_connection._pickling.unpickle": (1, "what was pickled"),
    "mp_multiprocessing.reduction.ForkingPickler.loads": (1, "the same"),
    # As the class that it derives from.
    "mp_multiprocessing.reduction.ForkingPickler.dispatch_table": (2, "pickle's"),
    # Elements of an array of any type, which only the typecode says.
    "mp_multiprocessing.dummy._objects.Array.__init__": (2, "elements of any type"),
    "mp_multiprocessing.dummy._objects.Array.__getitem__": (1, "the same"),
    "mp_multiprocessing.dummy._objects.Array.__iter__": (1, "the same"),
    "mp_multiprocessing.dummy._objects.Array.get_obj": (2, "the same"),
    "mp_multiprocessing.dummy._objects.Namespace.__getattr__": (1, "attributes"),
    # A connection says what it sends and receives; whatever else that is, is no matter.
    "mp_multiprocessing.reduction.recv_handle": (1, "what is sent"),
    "mp_multiprocessing.reduction.send_handle": (1, "what is received"),
    # A field of a structure.
    "mp_sharedctypes._synchronized.SynchronizedStructure.__getattr__": (1, "any field"),
    # For the layers only.
    "mp_connection._reducers.reductions": (2, "each reducer has its own types"),
    "mp_connection._pickling.message_reductions": (2, "the same"),
    "mp_connection._channel_unsupported.PacketChannel.kept": (1, "packets in part"),
}


def test_any_in_public_signatures_is_counted() -> None:
    """More is a mistake; when there is less, lower the number here."""
    expected = {path: count for path, (count, _) in REASONS.items()}
    assert count_public_any() == expected
