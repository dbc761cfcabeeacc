//! Stackful coroutines with an address: one event loop a thread, sockets, timers, parked sessions.
