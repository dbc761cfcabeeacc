//! The daemon: listeners, sessions, backends.
